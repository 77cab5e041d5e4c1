#include "launcher/plan/placement_check.h"

#include <algorithm>

#include "base/text.h"

namespace muster::plan {
namespace {

std::string cpus_text(const CpuSet& cpus) {
  return (cpus.count() == 1 ? "CPU " : "CPUs ") + cpus.to_string();
}

bool is_inside(const CpuSet& cpus, const CpuSet& planned) {
  return cpus.intersection(planned) == cpus;
}

std::string name_of(const ThreadSeen& thread) {
  const std::string name = thread.name.empty() ? "" : " (" + without_controls(thread.name) + ")";
  if (thread.tid == thread.pid) return "process " + std::to_string(thread.pid) + name;
  return "thread " + std::to_string(thread.tid) + name + " of process " +
         std::to_string(thread.pid);
}

// The variable by which an OpenMP pins each thread to a place of its own; "" without one.
std::string pinning_variable(const RankProgram& program) {
  for (const char* name : {"OMP_PROC_BIND", "KMP_AFFINITY", "GOMP_CPU_AFFINITY"}) {
    const auto found = program.environment.find(name);
    if (found == program.environment.end() || found->second.empty()) continue;
    std::string value = found->second;
    std::transform(value.begin(), value.end(), value.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (value != "false" && value != "none" && value != "disabled") return name;
  }
  return "";
}

// A program of the command that binds what it starts: "taskset"; also in the words of a shell.
std::string binding_program(const RankProgram& program) {
  for (const std::string& word : program.argv) {
    for (const std::string& part : split(word, ' ')) {
      const std::string name = part.substr(part.rfind('/') + 1);  // npos + 1: the whole word
      if (name == "taskset" || name == "numactl") return name;
    }
  }
  return "";
}

std::string cause_of(const RankProgram& program) {
  if (const std::string name = binding_program(program); !name.empty()) {
    return "`" + name + "` in the command does this";
  }
  if (const std::string variable = pinning_variable(program); !variable.empty()) {
    return "importing torch with " + variable + " set does this";
  }
  return "its program, or a library that it has loaded, did this";
}

std::string sentence_of(const std::vector<ThreadSeen>& threads, int more, const CpuSet& planned,
                        const RankProgram& program) {
  const ThreadSeen& first = threads.front();
  std::string text = name_of(first) + " may use " + cpus_text(first.cpus);
  if (is_inside(first.cpus, planned)) text += " only";
  text += ", planned " + planned.to_string();
  if (more > 0) text += " (and " + counted(more, "thread") + " more differ)";
  return text + "; " + cause_of(program);
}

const char* word_of(config::MemoryPolicy policy) {
  switch (policy) {
    case config::MemoryPolicy::kPreferred: return "preferred";
    case config::MemoryPolicy::kStrict: return "bind";
    case config::MemoryPolicy::kInterleave: return "interleave";
    case config::MemoryPolicy::kNone: break;
  }
  return "";
}

// "0-1" of "preferred:0-1".
CpuSet nodes_of(const std::string& policy) {
  const std::size_t colon = policy.find(':');
  if (colon == std::string::npos) return {};
  return CpuSet::parse(policy.substr(colon + 1)).value_or(CpuSet());
}

std::string name_of_gpu(const std::vector<RankPlacement>& ranks, const std::string& uuid) {
  for (const RankPlacement& rank : ranks) {
    for (const topology::Gpu& gpu : rank.gpus) {
      if (gpu.uuid == uuid) return "GPU " + std::to_string(gpu.visible_ordinal) + " (" + uuid + ")";
    }
  }
  return uuid;
}

}  // namespace

std::vector<std::string> differences_of_cpus(const RankPlacement& planned,
                                             const PlacementLook& look,
                                             const RankProgram& program) {
  if (!planned.bound) return {};
  // One thread on each place is what pins OpenMP's threads is for; what they start inherits it only
  // from a process's first thread.
  const bool pinned = !pinning_variable(program).empty();
  std::vector<ThreadSeen> inside;
  std::vector<ThreadSeen> outside;
  for (const ThreadSeen& thread : look.narrowed) {
    if (!is_inside(thread.cpus, planned.cpuset)) {
      outside.push_back(thread);
    } else if (thread.cpus != planned.cpuset && (!pinned || thread.tid == thread.pid)) {
      inside.push_back(thread);
    }
  }
  const auto size = [](const std::vector<ThreadSeen>& threads) {
    return static_cast<int>(threads.size());
  };
  // Those that were not told are like the widest of those that were.
  const int untold =
      pinned ? 0 : std::max(look.narrowed_count - static_cast<int>(look.narrowed.size()), 0);
  std::vector<std::string> differences;
  if (!inside.empty()) {
    const int more = size(inside) - 1 + (outside.empty() ? untold : 0);
    differences.push_back(sentence_of(inside, more, planned.cpuset, program));
  }
  if (!outside.empty()) {
    differences.push_back(
        sentence_of(outside, size(outside) - 1 + untold, planned.cpuset, program));
  }
  return differences;
}

std::vector<std::string> differences_of_memory(const RankPlacement& planned,
                                               const PlacementSeen& seen) {
  const std::string word = word_of(planned.memory_policy);
  if (!planned.bound || planned.memory_nodes.empty() || word.empty()) return {};
  const CpuSet wanted = CpuSet::from_vector(planned.memory_nodes);
  const CpuSet allowed = CpuSet::parse(seen.memory_nodes).value_or(CpuSet());
  if (!allowed.empty() && is_inside(allowed, wanted)) return {};

  std::vector<std::string> differences;
  if (!allowed.empty() && !is_inside(wanted, allowed)) {
    differences.push_back("memory may come from NUMA nodes " + allowed.to_string() +
                          " only, planned " + wanted.to_string());
  }
  if (seen.memory_policy.empty()) return differences;
  const CpuSet nodes = nodes_of(seen.memory_policy);
  // A kernel that knows no preference for several nodes prefers the first.
  const bool kept =
      seen.memory_policy.starts_with(word + ":") && !nodes.empty() && is_inside(nodes, wanted);
  if (!kept) {
    differences.push_back("its memory policy is " + seen.memory_policy + ", planned " + word + ":" +
                          wanted.to_string());
  }
  return differences;
}

std::vector<std::string> differences_of_gpus(const std::vector<RankPlacement>& ranks, int rank,
                                             const std::set<std::string>& used) {
  std::vector<std::string> own;
  std::vector<std::string> own_names;
  for (const topology::Gpu& gpu : ranks[static_cast<std::size_t>(rank)].gpus) {
    if (gpu.uuid.empty()) return {};
    own.push_back(gpu.uuid);
    own_names.push_back(name_of_gpu(ranks, gpu.uuid));
  }
  if (used.empty() || own.empty()) return {};
  std::vector<std::string> others;
  bool uses_own = false;
  for (const std::string& uuid : used) {
    if (std::find(own.begin(), own.end(), uuid) != own.end()) {
      uses_own = true;
    } else {
      others.push_back(name_of_gpu(ranks, uuid));
    }
  }
  if (others.empty()) return {};
  const std::string cause = "; a program that does not choose its GPU by LOCAL_RANK does this";
  if (uses_own) return {"it uses " + join(others, ", ") + " besides its own" + cause};
  return {"it uses " + join(others, ", ") + ", planned " + join(own_names, ", ") + cause};
}

}  // namespace muster::plan
