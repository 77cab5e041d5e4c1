// Replication in a simulated world: deterministic runs, one for each seed, and their judge.
//
//   simulate --seeds 1-500 [--jobs N]          every seed; ends with 1 at the first that is
//   violated simulate --seed 17 [--trace]               one, and what happened in it simulate
//   --seeds 1-1000 --expect-violation ends with 0 only when one is violated: for planted bugs

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "tests/simulation/world.h"

namespace {

using muster::simulation::Outcome;
using muster::simulation::World;

struct Options {
  std::uint64_t first = 1;
  std::uint64_t last = 1;
  std::uint64_t jobs = 1;
  bool traces = false;
  bool expects_violation = false;
};

[[noreturn]] void usage() {
  std::fputs(
      "usage: simulate --seeds FIRST-LAST [--jobs N] [--expect-violation]\n"
      "       simulate --seed N [--trace]\n",
      stderr);
  std::exit(64);
}

Options parse(int argc, char** argv) {
  Options options;
  bool has_seeds = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string {
      if (++i >= argc) usage();
      return argv[i];
    };
    if (word == "--trace") {
      options.traces = true;
    } else if (word == "--expect-violation") {
      options.expects_violation = true;
    } else if (word == "--seed") {
      options.first = options.last = std::strtoull(value().c_str(), nullptr, 10);
      has_seeds = true;
    } else if (word == "--seeds") {
      const std::string range = value();
      const std::size_t dash = range.find('-');
      if (dash == std::string::npos) usage();
      options.first = std::strtoull(range.c_str(), nullptr, 10);
      options.last = std::strtoull(range.c_str() + dash + 1, nullptr, 10);
      has_seeds = true;
    } else if (word == "--jobs") {
      options.jobs = std::strtoull(value().c_str(), nullptr, 10);
    } else {
      usage();
    }
  }
  if (!has_seeds || options.jobs == 0 || options.last < options.first) usage();
  return options;
}

// Every `options.jobs`-th seed from `first` on; whether one was violated.
bool run_seeds(const Options& options, std::uint64_t first) {
  Outcome sum;
  std::uint64_t count = 0;
  for (std::uint64_t seed = first; seed <= options.last; seed += options.jobs) {
    const Outcome outcome = World(seed, options.traces).run();
    ++count;
    sum.seconds += outcome.seconds;
    sum.bytes += outcome.bytes;
    sum.resent += outcome.resent;
    sum.faults += outcome.faults;
    sum.most_memory = std::max(sum.most_memory, outcome.most_memory);
    if (outcome.violation) {
      std::printf("seed %llu, at %.3f s: %s\n  replay: simulate --seed %llu --trace\n",
                  static_cast<unsigned long long>(seed), outcome.seconds,
                  outcome.violation->c_str(), static_cast<unsigned long long>(seed));
      return true;
    }
  }
  std::printf(
      "%llu seeds held: %.0f virtual seconds, %llu faults, %llu bytes (%llu sent again), at most "
      "%zu bytes of frames held\n",
      static_cast<unsigned long long>(count), sum.seconds,
      static_cast<unsigned long long>(sum.faults), static_cast<unsigned long long>(sum.bytes),
      static_cast<unsigned long long>(sum.resent), sum.most_memory);
  return false;
}

bool run_jobs(const Options& options) {
  if (options.jobs == 1) return run_seeds(options, options.first);
  std::vector<pid_t> children;
  for (std::uint64_t job = 0; job < options.jobs; ++job) {
    const pid_t child = ::fork();
    if (child == 0) {
      const bool violated = run_seeds(options, options.first + job);
      std::fflush(stdout);
      ::_exit(violated ? 1 : 0);
    }
    children.push_back(child);
  }
  bool violated = false;
  for (const pid_t child : children) {
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) violated = true;
  }
  return violated;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const bool violated = run_jobs(options);
  if (options.expects_violation && !violated) std::puts("no violation, and one was expected");
  return violated == options.expects_violation ? 0 : 1;
}
