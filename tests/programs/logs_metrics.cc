// Writes metrics through include/muster/metrics.h, as a training program would: from several
// threads at once, with what JSON finds hard.
#include <cmath>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <muster/metrics.h>

int main() {
  constexpr int kThreads = 4;
  constexpr int kSteps = 200;
  muster::Metrics metrics;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&metrics, thread] {
      for (int step = 0; step < kSteps; ++step) {
        metrics.log("thread", thread, step, {{"of", std::to_string(thread)}});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  metrics.log("loss", 0.1);
  metrics.log("a \"quoted\" n\xc3\xa4me\\", -1e300, 7, {{"split", ""}, {"is", "a=b"}});
  metrics.log("nan", std::nan(""));
  metrics.log("inf", -INFINITY);
  const bool too_long = metrics.log(std::string(5000, 'x'), 1);
  const bool nameless = metrics.log("", 1);
  // What the reader would refuse is not taken to be lost later.
  int taken = 0;
  const std::string long_name(256, 'x');
  for (const char* name : {"a\tb", "a\x7f", "a\xff", "a\xc3", "a\xc0\xaf", "a\xed\xa0\x80",
                           "a\xf4\x90\x80\x80", long_name.c_str()}) {
    taken += metrics.log(name, 1) ? 1 : 0;
  }
  for (const char* text : {"\x1b[31m", "a,b", "\xff"}) {
    taken += metrics.log("loss", 1, {{"label", text}}) ? 1 : 0;
    taken += metrics.log("loss", 1, {{text, "x"}}) ? 1 : 0;
  }
  taken += metrics.log("loss", 1, {{"a=b", "x"}}) ? 1 : 0;
  taken += metrics.log("loss", 1, {{"", "x"}}) ? 1 : 0;
  // Outside of a run nothing is written, and nothing is lost.
  std::printf("%d %d %d %llu\n", too_long ? 1 : 0, nameless ? 1 : 0, taken,
              static_cast<unsigned long long>(metrics.dropped()));
  return 0;
}
