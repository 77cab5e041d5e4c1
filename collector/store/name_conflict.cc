#include "collector/store/name_conflict.h"

#include <cstdint>
#include <cstdio>
#include <tuple>

namespace muster::store {
namespace {

constexpr std::size_t kLongestName = 255;  // of one folder's entry

// FNV-1a: names that are cut must still differ.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char byte : text) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  }
  return hash;
}

}  // namespace

NameVerdict judge_name(const NameClaim& holder, const NameClaim& newcomer) {
  if (!holder.xxh3.empty() && holder.xxh3 == newcomer.xxh3) return NameVerdict::kSame;
  // Two writers with the same lowest rank cannot be, but somebody must win all the same.
  return std::tie(holder.lowest_rank, holder.writer) <=
                 std::tie(newcomer.lowest_rank, newcomer.writer)
             ? NameVerdict::kKeeps
             : NameVerdict::kGivesWay;
}

std::string conflict_name(std::string_view path, int lowest_rank) {
  const std::string suffix = ".rank-" + std::to_string(lowest_rank);
  const std::size_t slash = path.rfind('/');
  const std::size_t start = slash == std::string_view::npos ? 0 : slash + 1;
  std::string name(path.substr(start));
  if (name.size() + suffix.size() > kLongestName) {
    char digits[24];
    std::snprintf(digits, sizeof digits, "~%016llx",
                  static_cast<unsigned long long>(hash_of(name)));
    const std::string mark(digits);
    name.resize(kLongestName - suffix.size() - mark.size());
    name += mark;
  }
  return std::string(path.substr(0, start)) + name + suffix;
}

}  // namespace muster::store
