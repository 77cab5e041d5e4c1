#include "base/cpu_set.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <tuple>

namespace muster {
namespace {

constexpr std::size_t kBits = 64;
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
  if (index / kBits >= words_.size()) words_.resize(index / kBits + 1);
  words_[index / kBits] |= std::uint64_t{1} << index % kBits;
}

bool CpuSet::contains(int cpu) const {
  const auto index = static_cast<std::size_t>(cpu);
  return cpu >= 0 && index / kBits < words_.size() &&
         (words_[index / kBits] >> index % kBits & 1) != 0;
}

bool CpuSet::empty() const {
  return std::all_of(words_.begin(), words_.end(), [](std::uint64_t word) { return word == 0; });
}

int CpuSet::count() const {
  int count = 0;
  for (const std::uint64_t word : words_) count += std::popcount(word);
  return count;
}

std::vector<int> CpuSet::to_vector() const {
  std::vector<int> cpus;
  for (std::size_t i = 0; i < words_.size(); ++i) {
    for (std::uint64_t left = words_[i]; left != 0; left &= left - 1) {
      cpus.push_back(static_cast<int>(i * kBits) + std::countr_zero(left));
    }
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
  both.words_.resize(std::min(words_.size(), other.words_.size()));
  for (std::size_t i = 0; i < both.words_.size(); ++i) {
    both.words_[i] = words_[i] & other.words_[i];
  }
  return both;
}

CpuSet CpuSet::united(const CpuSet& other) const {
  CpuSet all = words_.size() < other.words_.size() ? other : *this;
  const CpuSet& smaller = words_.size() < other.words_.size() ? *this : other;
  for (std::size_t i = 0; i < smaller.words_.size(); ++i) all.words_[i] |= smaller.words_[i];
  return all;
}

bool operator==(const CpuSet& a, const CpuSet& b) {
  const auto& [longer, shorter] = a.words_.size() < b.words_.size() ? std::tie(b.words_, a.words_)
                                                                    : std::tie(a.words_, b.words_);
  const auto past = longer.begin() + static_cast<std::ptrdiff_t>(shorter.size());
  return std::equal(shorter.begin(), shorter.end(), longer.begin()) &&
         std::all_of(past, longer.end(), [](std::uint64_t word) { return word == 0; });
}

}  // namespace muster
