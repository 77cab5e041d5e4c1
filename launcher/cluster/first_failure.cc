#include "launcher/cluster/first_failure.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <tuple>

#include "base/text.h"

namespace muster::cluster {
namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kMostNamed = 16;

bool is_before(const FailedRank& a, const FailedRank& b) {
  return std::tie(a.ended_at, a.rank) < std::tie(b.ended_at, b.rank);
}

std::string span_text(nanoseconds span) {
  const double ms = std::chrono::duration<double, std::milli>(span).count();
  char text[32];
  if (ms < 1000) {
    std::snprintf(text, sizeof text, "%.*f ms", ms < 10 ? 2 : 0, ms);
  } else {
    std::snprintf(text, sizeof text, "%.1f s", ms / 1000);
  }
  return text;
}

}  // namespace

FirstFailed first_failed(const std::vector<FailedRank>& failed) {
  std::map<int, FailedRank> first_of_node;
  for (const FailedRank& each : failed) {
    const auto [known, is_new] = first_of_node.try_emplace(each.node_rank, each);
    if (!is_new && is_before(each, known->second)) known->second = each;
  }
  FirstFailed first;
  if (first_of_node.empty()) return first;
  // By then somebody had failed, whatever the clocks' errors are.
  auto by_then = std::chrono::system_clock::time_point::max();
  for (const auto& [node, each] : first_of_node) {
    by_then = std::min(by_then, each.ended_at + each.error);
  }
  auto earliest = std::chrono::system_clock::time_point::max();
  auto latest = std::chrono::system_clock::time_point::min();
  nanoseconds worst{0};
  nanoseconds second_worst{0};
  for (const auto& [node, each] : first_of_node) {
    if (each.ended_at - each.error > by_then) continue;
    first.ranks.push_back(each.rank);
    earliest = std::min(earliest, each.ended_at);
    latest = std::max(latest, each.ended_at);
    second_worst = std::max(second_worst, std::min(worst, each.error));
    worst = std::max(worst, each.error);
  }
  std::sort(first.ranks.begin(), first.ranks.end());
  if (first.ranks.size() < 2) return first;
  first.apart = latest - earliest;
  first.error = worst + second_worst;
  return first;
}

std::string in_words(const FirstFailed& first) {
  if (first.ranks.size() < 2) return "";
  std::vector<std::string> named;
  for (const int rank : first.ranks) {
    if (named.size() < kMostNamed) named.push_back(std::to_string(rank));
  }
  const std::size_t more = first.ranks.size() - named.size();
  std::string last = more > 0 ? std::to_string(more) + " more" : named.back();
  if (more == 0) named.pop_back();
  return "cannot tell between ranks " + join(named, ", ") + " and " + last +
         " which failed first: " + span_text(first.apart) +
         " apart by clocks that are known within " + span_text(first.error);
}

}  // namespace muster::cluster
