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

std::string file_name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1: the whole word
}

bool binds(const std::string& name) {
  return name == "taskset" || name == "numactl";
}

// The program of each command in the words of a shell that binds what it starts.
std::string binding_program_of_shell(const std::string& script) {
  bool begins = true;
  std::string words = script;
  std::replace(words.begin(), words.end(), '\n', ';');
  for (const std::string& word : split(words, ' ')) {
    if (word.empty()) continue;
    const bool is_prefix = word == "exec" || word == "env" || word == "time" || word == "nohup" ||
                           word.find('=') != std::string::npos;
    // `cd x;taskset …` too: what follows the last separator begins a command.
    const std::size_t separator = word.find_last_of(";&|(");
    const bool ends = separator != std::string::npos;
    const std::string begun = ends ? word.substr(separator + 1) : word;
    if ((begins || ends) && binds(file_name_of(begun))) return file_name_of(begun);
    begins = ends ? begun.empty() : begins && is_prefix;
  }
  return "";
}

// "taskset", where the command is one, or a shell's that has one.
std::string binding_program(const RankProgram& program) {
  if (program.argv.empty()) return "";
  const std::string name = file_name_of(program.argv.front());
  if (binds(name)) return name;
  if (name != "sh" && name != "bash" && name != "dash" && name != "zsh") return "";
  for (std::size_t i = 1; i + 1 < program.argv.size(); ++i) {
    const std::string& option = program.argv[i];
    if (!option.starts_with("-")) return "";
    if (option.ends_with("c")) return binding_program_of_shell(program.argv[i + 1]);
  }
  return "";
}

bool is_cpuset_smaller(const RankProgram& program, const CpuSet& wanted) {
  return !program.launcher_cpus.empty() && !is_inside(wanted, program.launcher_cpus);
}

std::string cause_of(const RankProgram& program, const CpuSet& cpus, const CpuSet& planned) {
  if (is_cpuset_smaller(program, planned) && is_inside(cpus, program.launcher_cpus)) {
    return "muster itself may use " + cpus_text(program.launcher_cpus) +
           " only by now: somebody has made the cpuset of both smaller, or moved both";
  }
  if (const std::string name = binding_program(program); !name.empty()) {
    return "`" + name + "` in the command does this";
  }
  if (program.omp_binding) return "resources.omp_binding may do this";
  if (const std::string variable = pinning_variable(program); !variable.empty()) {
    return "importing torch with " + variable + " set may do this";
  }
  return "the program, a library or somebody outside did this";
}

std::string sentence_of(const std::vector<ThreadSeen>& threads, int more, const CpuSet& planned,
                        const char* planned_or_begun, const RankProgram& program) {
  const ThreadSeen& first = threads.front();
  std::string text = name_of(first) + " may use " + cpus_text(first.cpus);
  if (is_inside(first.cpus, planned)) text += " only";
  text += planned_or_begun + planned.to_string();
  if (more > 0) text += " (and " + counted(more, "thread") + " more differ)";
  return text + "; " + cause_of(program, first.cpus, planned);
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

// Ranks of one part of a run are numbered on from those before.
const RankPlacement& of_number(const std::vector<RankPlacement>& ranks, int rank) {
  return ranks[static_cast<std::size_t>(rank - ranks.front().rank)];
}

std::string name_of_gpu(const std::vector<RankPlacement>& ranks, const std::string& uuid) {
  for (const RankPlacement& rank : ranks) {
    for (const topology::Gpu& gpu : rank.gpus) {
      if (gpu.uuid == uuid) return "GPU " + std::to_string(gpu.visible_ordinal) + " (" + uuid + ")";
    }
  }
  return uuid;
}

// What cuda:LOCAL_RANK is where all ranks see the GPUs of all, in their order; "" where it is none.
std::string uuid_by_local_rank(const std::vector<RankPlacement>& ranks, int rank) {
  const RankPlacement& own = of_number(ranks, rank);
  std::vector<std::string> order;
  for (const RankPlacement& each : ranks) {
    if (each.node_rank != own.node_rank) continue;
    for (const topology::Gpu& gpu : each.gpus) {
      if (std::find(order.begin(), order.end(), gpu.uuid) == order.end()) order.push_back(gpu.uuid);
    }
  }
  const auto number = static_cast<std::size_t>(own.local_rank);
  return number < order.size() ? order[number] : "";
}

}  // namespace

std::vector<std::string> differences_of_cpus(const RankPlacement& planned,
                                             const PlacementLook& look,
                                             const RankProgram& program) {
  // Who is bound to nothing may still be narrowed.
  const CpuSet& wanted = planned.bound ? planned.cpuset : program.cpus_at_start;
  const char* const planned_or_begun = planned.bound ? ", planned " : ", at its start ";
  if (wanted.empty()) return {};
  // One thread on each place is what pins OpenMP's threads is for; what they start inherits it only
  // from a process's first thread.
  const bool pinned = !pinning_variable(program).empty();
  // Whoever asks for omp_binding wants each thread at its place, the first one too.
  const bool asked_for = program.omp_binding && !is_cpuset_smaller(program, wanted) &&
                         binding_program(program).empty();
  std::vector<ThreadSeen> inside;
  std::vector<ThreadSeen> outside;
  for (const ThreadSeen& thread : look.narrowed) {
    if (!is_inside(thread.cpus, wanted)) {
      outside.push_back(thread);
    } else if (thread.cpus != wanted && !asked_for && (!pinned || thread.tid == thread.pid)) {
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
    differences.push_back(sentence_of(inside, more, wanted, planned_or_begun, program));
  }
  if (!outside.empty()) {
    differences.push_back(
        sentence_of(outside, size(outside) - 1 + untold, wanted, planned_or_begun, program));
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

std::vector<std::string> changes_of_memory(const PlacementSeen& first, const PlacementSeen& later) {
  if (first.memory_policy.empty() || later.memory_policy.empty()) return {};
  if (first.memory_policy == later.memory_policy) return {};
  return {"its memory policy is " + later.memory_policy + ", at its start " + first.memory_policy +
          "; the program or a library did this"};
}

std::vector<std::string> differences_of_gpus(const std::vector<RankPlacement>& ranks, int rank,
                                             const std::set<std::string>& used) {
  std::vector<std::string> own;
  std::vector<std::string> own_names;
  for (const topology::Gpu& gpu : of_number(ranks, rank).gpus) {
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
  std::string by_number = own.size() > 1 ? uuid_by_local_rank(ranks, rank) : "";
  if (std::find(own.begin(), own.end(), by_number) != own.end()) by_number.clear();
  const std::string cause =
      !by_number.empty() && used.contains(by_number)
          ? "; a program that uses cuda:LOCAL_RANK does this where ranks have several GPUs: "
            "gpu_assignment ordinal gives each the one of that number, and with gpu_visibility own "
            "each sees its own alone, from 0"
          : "; a program that does not choose its GPU by LOCAL_RANK does this";
  if (uses_own) return {"it uses " + join(others, ", ") + " besides its own" + cause};
  return {"it uses " + join(others, ", ") + ", planned " + join(own_names, ", ") + cause};
}

}  // namespace muster::plan
