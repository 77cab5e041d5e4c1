#include "base/cpu_set.h"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace muster {
namespace {

constexpr int kMaxIndex = 1 << 20;  // far above any machine; bounds what a bad list may allocate

}  // namespace

CpuSet::CpuSet(std::initializer_list<int> cpus) {
  for (const int cpu : cpus) insert(cpu);
}

CpuSet CpuSet::from_vector(const std::vector<int>& cpus) {
  CpuSet set;
  for (const int cpu : cpus) set.insert(cpu);
  return set;
}

Result<CpuSet> CpuSet::parse(std::string_view linux_list) {
  CpuSet set;
  const auto bad = [&] {
    return fail(ErrorCode::kConfig, "\"" + std::string(linux_list) + "\" is not a list of CPUs",
                "write it as Linux does, for example 0-3,8");
  };
  const char* at = linux_list.data();
  const char* const end = at + linux_list.size();
  while (at < end && (end[-1] != '\n' || at < end - 1)) {
    int first = 0;
    auto parsed = std::from_chars(at, end, first);
    if (parsed.ec != std::errc() || first < 0 || first > kMaxIndex) return bad();
    at = parsed.ptr;
    int last = first;
    if (at < end && *at == '-') {
      parsed = std::from_chars(at + 1, end, last);
      if (parsed.ec != std::errc() || last < first || last > kMaxIndex) return bad();
      at = parsed.ptr;
    }
    for (int cpu = first; cpu <= last; ++cpu) set.insert(cpu);
    if (at < end && *at == ',') {
      if (++at == end || *at == '\n') return bad();
    } else if (at < end && *at != '\n') {
      return bad();
    }
  }
  return set;
}

void CpuSet::insert(int cpu) {
  const auto index = static_cast<std::size_t>(cpu);
  if (index >= bits_.size()) bits_.resize(index + 1);
  bits_[index] = true;
}

bool CpuSet::contains(int cpu) const {
  return cpu >= 0 && static_cast<std::size_t>(cpu) < bits_.size() &&
         bits_[static_cast<std::size_t>(cpu)];
}

int CpuSet::count() const {
  return static_cast<int>(std::count(bits_.begin(), bits_.end(), true));
}

std::vector<int> CpuSet::to_vector() const {
  std::vector<int> cpus;
  for (std::size_t i = 0; i < bits_.size(); ++i) {
    if (bits_[i]) cpus.push_back(static_cast<int>(i));
  }
  return cpus;
}

std::string CpuSet::to_string() const {
  std::string text;
  const std::vector<int> cpus = to_vector();
  for (std::size_t first = 0; first < cpus.size();) {
    std::size_t last = first;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(cpus[first]);
    if (last > first) text += '-' + std::to_string(cpus[last]);
    first = last + 1;
  }
  return text;
}

CpuSet CpuSet::intersection(const CpuSet& other) const {
  CpuSet both;
  for (const int cpu : to_vector()) {
    if (other.contains(cpu)) both.insert(cpu);
  }
  return both;
}

CpuSet CpuSet::united(const CpuSet& other) const {
  CpuSet all = *this;
  for (const int cpu : other.to_vector()) all.insert(cpu);
  return all;
}

}  // namespace muster
