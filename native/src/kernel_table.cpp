// Ends the unit of all kernels (native/generated/kernels.cpp), which is compiled once per ISA. A name is either in the
// ISA's namespace, or an inline function that the linker may take from another ISA's object: that is safe because
// objects are linked from the plainest ISA to the richest, and a linker keeps the first copy.
#include "kernel_table.h"

#include "isa.h"

#define GOLGI_TEXT_OF(token) #token
#define GOLGI_TEXT(token) GOLGI_TEXT_OF(token)

namespace golgi::GOLGI_ISA {

#define GOLGI_DECLARE(opcode, name, Args) void name(const Args& args, Context& context);
GOLGI_KERNELS(GOLGI_DECLARE)

namespace {

template <class Args, void (*kernel)(const Args&, Context&)>
void run(const int32_t* words, const Frame& frame, Context& context) {
  kernel(Args(words, frame), context);
}

template <class Args>
void look_up(const int32_t* words, const Frame& frame) {
  const Args args(words, frame);
  static_cast<void>(args);
}

constexpr KernelTable make_table() {
  KernelTable made{};
  made.isa = GOLGI_TEXT(GOLGI_ISA);
#define GOLGI_ENTER(opcode, name, Args) made.kernels[opcode] = {Args::n_words, &run<Args, &name>, &look_up<Args>};
  GOLGI_KERNELS(GOLGI_ENTER)
  return made;
}

// Constant: nothing of an ISA that this CPU lacks may run when the library is loaded.
constexpr KernelTable kernels = make_table();

}  // namespace

const KernelTable& table() { return kernels; }

}  // namespace golgi::GOLGI_ISA
