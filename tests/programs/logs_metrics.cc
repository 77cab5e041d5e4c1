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
  metrics.log("a \"quoted\" name\n", -1e300, 7);
  metrics.log("nan", std::nan(""));
  metrics.log("inf", -INFINITY);
  const bool too_long = metrics.log(std::string(5000, 'x'), 1);
  const bool nameless = metrics.log("", 1);
  // Outside of a run nothing is written, and nothing is lost.
  std::printf("%d %d %llu\n", too_long ? 1 : 0, nameless ? 1 : 0,
              static_cast<unsigned long long>(metrics.dropped()));
  return 0;
}
