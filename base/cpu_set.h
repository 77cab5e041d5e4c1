// A set of CPUs (or NUMA nodes) by their OS index, of any size; printed as Linux prints it:
// "0-3,8".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "muster/result.h"

namespace muster {

class CpuSet {
 public:
  CpuSet() = default;
  CpuSet(std::initializer_list<int> cpus);

  static CpuSet from_vector(const std::vector<int>& cpus);
  static Result<CpuSet> parse(std::string_view linux_list);

  void insert(int cpu);
  bool contains(int cpu) const;
  bool empty() const;
  int count() const;
  std::vector<int> to_vector() const;  // ascending
  std::string to_string() const;       // Linux list format; "" when empty

  CpuSet intersection(const CpuSet& other) const;
  CpuSet united(const CpuSet& other) const;

  friend bool operator==(const CpuSet& a, const CpuSet& b);

 private:
  std::vector<std::uint64_t> words_;  // CPU c is bit c % 64 of word c / 64; zeros may follow
};

}  // namespace muster
