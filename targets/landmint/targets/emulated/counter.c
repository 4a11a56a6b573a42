/* A plugin of QEMU's user emulation that counts executed instructions by class.

   The program sets a mark by prctl(MARK, number, 0, 0, 0), which a kernel refuses without harm. At
   each mark one line of JSON is written to the file of the argument "out": the number, and what its
   thread has executed until then. Counts are exact: every translated block knows what it holds, and
   every execution of it adds that to the counts of the thread that executes it.

   QEMU's package has no header for plugins, so what is used of the interface is declared here. */

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK 0x6c6d6e74 /* "lmnt" */
#define THREADS 1024

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
} qemu_info_t;
typedef void (*translated_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed_t)(unsigned, void *);
typedef void (*called_t)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                         uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed_t, int, void *);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, called_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
#if INTERFACE >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
#endif

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = INTERFACE;

enum { TOTAL, SIMD, FMLA, MLAL, DOT, CLASSES };
static const char *const names[CLASSES] = {"total", "simd", "fmla", "mlal", "dot"};

/* Encodings of A64, from the Arm Architecture Reference Manual (DDI 0487), C4.1. */
static const struct {
    int class;
    uint32_t mask, bits;
} encodings[] = {
    {SIMD, 0x0e000000, 0x0e000000}, /* data processing: scalar floating point, Advanced SIMD */
    {SIMD, 0x1e000000, 0x04000000}, /* SVE */
    {FMLA, 0xbfa0fc00, 0x0e20cc00}, /* FMLA vector, single and double */
    {FMLA, 0xbf80f400, 0x0f801000}, /* FMLA by element, single and double */
    {FMLA, 0xbfe0fc00, 0x0e400c00}, /* FMLA vector, half */
    {FMLA, 0xbfc0f400, 0x0f001000}, /* FMLA by element, half */
    {MLAL, 0x9f20fc00, 0x0e208000}, /* SMLAL, UMLAL and their second halves, vector */
    {MLAL, 0x9f00f400, 0x0f002000}, /* the same by element */
    {DOT, 0x9fe0fc00, 0x0e809400},  /* SDOT, UDOT vector */
    {DOT, 0x9fc0f400, 0x0f80e000},  /* SDOT, UDOT by element */
};

typedef struct {
    uint64_t of[CLASSES];
    char apart[64]; /* no two threads write to one cache line */
} counts_t;

static counts_t threads[THREADS];
static int reads_words; /* whether instructions are words of A64 */
static int64_t prctl_number;
static FILE *out;

static void count_word(counts_t *block, uint32_t word)
{
    unsigned seen = 0;
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if ((word & encodings[i].mask) == encodings[i].bits)
            seen |= 1u << encodings[i].class;
    for (int class = 0; class < CLASSES; class++)
        block->of[class] += seen >> class & 1;
}

static void executed(unsigned thread, void *block)
{
    for (int class = 0; class < CLASSES; class++)
        threads[thread % THREADS].of[class] += ((counts_t *)block)->of[class];
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    counts_t *block = calloc(1, sizeof *block); /* QEMU keeps the pointer as long as the block */
    if (!block)
        abort();
    block->of[TOTAL] = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; reads_words && i < block->of[TOTAL]; i++) {
        uint32_t word = 0;
#if INTERFACE >= 3
        qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i), &word, sizeof word);
#else
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof word);
#endif
        count_word(block, word);
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, block);
}

static void called(qemu_plugin_id_t id, unsigned thread, int64_t number, uint64_t option,
                   uint64_t mark, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                   uint64_t a8)
{
    if (number != prctl_number || option != MARK)
        return;
    fprintf(out, "{\"mark\": %" PRIu64, mark);
    for (int class = 0; class < (reads_words ? CLASSES : TOTAL + 1); class++)
        fprintf(out, ", \"%s\": %" PRIu64, names[class], threads[thread % THREADS].of[class]);
    fprintf(out, "}\n");
    fflush(out);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                 char **argv)
{
    reads_words = !strcmp(info->target_name, "aarch64");
    prctl_number = reads_words ? 167 : 157; /* of Linux on AArch64 and on x86-64 */
    if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w")))
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
