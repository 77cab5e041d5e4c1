#include "launcher/exec/node_counters.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/text.h"

namespace muster::exec {
namespace {

std::optional<std::uint64_t> number_of(std::string_view word) {
  const auto number = parse_integer(word);
  if (!number || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

std::optional<double> decimal_of(std::string_view word) {
  const std::string text(word);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == line.npos) return words;
    const std::size_t end = std::min(line.find_first_of(" \t", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

template <typename Callback>
void for_each_line(std::string_view text, Callback callback) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    callback(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

// "cpu  user nice system idle iowait irq softirq steal guest guest_nice": guests' time is in
// user's.
std::optional<CpuTicks> parse_cpu_ticks(std::string_view stat) {
  const auto words = words_of(stat.substr(0, stat.find('\n')));
  if (words.size() < 5 || words[0] != "cpu") return std::nullopt;
  std::array<std::uint64_t, 8> fields{};
  for (std::size_t at = 0; at < fields.size() && at + 1 < words.size(); ++at) {
    const auto number = number_of(words[at + 1]);
    if (!number) return std::nullopt;
    fields[at] = *number;
  }
  CpuTicks ticks;
  for (const std::uint64_t field : fields) ticks.all += field;
  ticks.idle = fields[3];
  ticks.iowait = fields[4];
  ticks.steal = fields[7];
  return ticks;
}

std::optional<double> parse_load(std::string_view loadavg) {
  const auto words = words_of(loadavg.substr(0, loadavg.find('\n')));
  return words.empty() ? std::nullopt : decimal_of(words.front());
}

// "MemAvailable:   23566144 kB"
std::map<std::string, std::uint64_t, std::less<>> parse_meminfo(std::string_view meminfo) {
  std::map<std::string, std::uint64_t, std::less<>> bytes;
  for_each_line(meminfo, [&](std::string_view line) {
    const auto words = words_of(line);
    if (words.size() != 3 || words[2] != "kB" || !words[0].ends_with(':')) return;
    if (const auto number = number_of(words[1])) {
      bytes.emplace(words[0].substr(0, words[0].size() - 1), *number * 1024);
    }
  });
  return bytes;
}

// "some avg10=0.12 avg60=0.05 avg300=0.01 total=123"
Pressure parse_pressure(std::string_view text) {
  constexpr std::string_view kAverage = "avg10=";
  Pressure pressure;
  for_each_line(text, [&](std::string_view line) {
    const auto words = words_of(line);
    if (words.size() < 2 || !words[1].starts_with(kAverage)) return;
    const auto value = decimal_of(words[1].substr(kAverage.size()));
    if (words[0] == "some") pressure.some = value;
    if (words[0] == "full") pressure.full = value;
  });
  return pressure;
}

std::map<std::string, std::uint64_t, std::less<>> parse_pairs(std::string_view text) {
  std::map<std::string, std::uint64_t, std::less<>> pairs;
  for_each_line(text, [&](std::string_view line) {
    const auto words = words_of(line);
    if (words.size() != 2) return;
    if (const auto number = number_of(words[1])) pairs.emplace(words[0], *number);
  });
  return pairs;
}

// Two lines of titles, then "eth0: " and eight numbers received, eight sent.
std::vector<InterfaceCounters> parse_net_dev(std::string_view text) {
  std::vector<InterfaceCounters> interfaces;
  for_each_line(text, [&](std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == line.npos) return;
    const auto name = words_of(line.substr(0, colon));
    const auto words = words_of(line.substr(colon + 1));
    if (name.size() != 1 || name[0] == "lo" || words.size() < 16) return;
    std::array<std::uint64_t, 16> fields{};
    for (std::size_t at = 0; at < fields.size(); ++at) {
      const auto number = number_of(words[at]);
      if (!number) return;
      fields[at] = *number;
    }
    interfaces.push_back({std::string(name[0]), fields[0], fields[1], fields[2], fields[3],
                          fields[8], fields[9], fields[10], fields[11]});
  });
  return interfaces;
}

// "0::/path" or "4:cpu,cpuacct:/path"
CgroupPaths parse_cgroups(std::string_view text) {
  CgroupPaths paths;
  for_each_line(text, [&](std::string_view line) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) return;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (controllers.empty()) {
      paths.unified = path;
      return;
    }
    for (const std::string& name : split(controllers, ',')) paths.controllers.emplace(name, path);
  });
  return paths;
}

}  // namespace muster::exec
