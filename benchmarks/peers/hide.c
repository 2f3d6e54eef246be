// Preloaded into a process, hides CPU features from it: CPUID faults, and the handler of the fault answers with the
// bits of MASKS cleared. Linux gives every new thread the setting of the one that made it; exec ends it, and the
// preload begins anew. The handler stays: one that the program sets for SIGSEGV is called for other faults. A process
// in which CPUID cannot be made to fault ends at once.
//
// MASKS: rows {leaf, subleaf, {eax, ebx, ecx, edx}} of bits to clear.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

struct mask {
  uint32_t leaf, subleaf, registers[4];
};

static const struct mask masks[] = {MASKS};

static long allow_cpuid(int allowed) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, (unsigned long)allowed); }

static struct sigaction others;  // what the program wants done at SIGSEGV

static int set_action(int number, const struct sigaction* action, struct sigaction* old) {
  static int (*next)(int, const struct sigaction*, struct sigaction*);
  if (!next) *(void**)&next = dlsym(RTLD_NEXT, "sigaction");
  return next(number, action, old);
}

static void on_fault(int number, siginfo_t* info, void* context) {
  greg_t* saved = ((ucontext_t*)context)->uc_mcontext.gregs;
  const unsigned char* instruction = (const unsigned char*)saved[REG_RIP];
  if (info->si_code != SI_KERNEL || instruction[0] != 0x0f || instruction[1] != 0xa2) {
    if (others.sa_flags & SA_SIGINFO)
      others.sa_sigaction(number, info, context);
    else if (others.sa_handler != SIG_DFL && others.sa_handler != SIG_IGN)
      others.sa_handler(number);
    else
      set_action(number, &others, NULL);  // the fault happens again, and ends the process
    return;
  }
  uint32_t leaf = (uint32_t)saved[REG_RAX], subleaf = (uint32_t)saved[REG_RCX], found[4];
  int error = errno;
  allow_cpuid(1);
  __cpuid_count(leaf, subleaf, found[0], found[1], found[2], found[3]);
  allow_cpuid(0);
  errno = error;
  for (size_t i = 0; i < sizeof masks / sizeof masks[0]; ++i)
    if (masks[i].leaf == leaf && masks[i].subleaf == subleaf)
      for (int j = 0; j < 4; ++j) found[j] &= ~masks[i].registers[j];
  saved[REG_RAX] = found[0];
  saved[REG_RBX] = found[1];
  saved[REG_RCX] = found[2];
  saved[REG_RDX] = found[3];
  saved[REG_RIP] += 2;
}

// What this process is told: out[4] is eax, ebx, ecx, edx.
void read_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t* out) {
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

int sigaction(int number, const struct sigaction* action, struct sigaction* old) {
  if (number != SIGSEGV) return set_action(number, action, old);
  if (old) *old = others;
  if (action) others = *action;
  return 0;
}

sighandler_t signal(int number, sighandler_t handler) {
  struct sigaction action, old;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  return sigaction(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

__attribute__((constructor)) static void hide(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  if (set_action(SIGSEGV, &action, NULL) != 0 || allow_cpuid(0) != 0) {
    fprintf(stderr, "CPUID cannot be made to fault here: %s\n", strerror(errno));
    _exit(70);
  }
}
