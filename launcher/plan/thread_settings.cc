// What is said here was tried with GNU's OpenMP (libgomp of GCC 12): with a binding asked for, the
// main thread is moved to its first place when the library is loaded.
#include "launcher/plan/thread_settings.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/environment_names.h"

namespace muster::plan {
namespace {

constexpr const char* kNarrows =
    "the main thread of each rank is moved to one core as soon as an OpenMP library is loaded "
    "(importing torch does that), and the processes that it starts, such as data "
    "loaders, stay there";

// A value that reaches the ranks, and who set it.
struct Given {
  std::string value;
  std::string by;
};

std::string small(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string shown(const std::string& name, const Given& given) {
  return name + "=" + given.value + " (" + given.by + ")";
}

class Settings {
 public:
  Settings(const FamilyFacts& facts, const LaunchPlan& plan) : facts_(facts), plan_(plan) {}

  // nullopt where Muster itself sets the name, or nobody does.
  std::optional<Given> given(const std::string& name) const {
    if (const auto* setting = set_by_config(facts_.config, name)) {
      return Given{setting->value, setting->origin.text};
    }
    if (!plan_.rank_environment.empty() && is_there(plan_.rank_environment.front(), name)) {
      return std::nullopt;
    }
    const auto& caller = facts_.inputs.caller_environment;
    const auto found = caller.find(name);
    if (found == caller.end() || found->second.empty() || is_dropped_from_ranks(name)) {
      return std::nullopt;
    }
    return Given{found->second, "the caller's environment"};
  }

 private:
  const FamilyFacts& facts_;
  const LaunchPlan& plan_;
};

void warn_of_proc_bind(const Settings& settings, LaunchPlan& plan) {
  const auto bind = settings.given("OMP_PROC_BIND");
  const std::string first = bind ? small(bind->value.substr(0, bind->value.find(','))) : "";
  const bool off = first == "false";
  if (bind && !off) {
    plan.warnings.push_back(shown("OMP_PROC_BIND", *bind) + ": " + kNarrows +
                            "; unset it, or set it to false");
  }
  const auto places = settings.given("OMP_PLACES");
  if (!places || off) return;
  std::string text = shown("OMP_PLACES", *places) + ": ";
  if (!bind) text += std::string(kNarrows) + "; ";
  const bool by_number = places->value.find('{') != std::string::npos;
  if (by_number && plan.ranks.size() > 1) {
    text += "its CPUs are the same for every rank, and a rank uses those only that are its own; ";
  } else if (bind) {
    return;  // names such as cores count inside each rank's own CPUs, and OMP_PROC_BIND was told
  }
  plan.warnings.push_back(text + "unset it; resources.omp_binding gives each rank its own");
}

// Decimal numbers of a list such as "0-3 8 12-15:2"; nullopt: it is no such list.
std::optional<std::set<int>> cpus_of(const std::string& text) {
  std::string list = text;
  std::replace(list.begin(), list.end(), ' ', ',');
  std::set<int> cpus;
  for (const std::string& part : split(list, ',')) {
    if (part.empty()) continue;
    const std::size_t dash = part.find('-');
    const std::size_t colon = part.find(':');
    const auto first = parse_integer(part.substr(0, std::min(dash, colon)));
    auto last = first;
    std::optional<std::int64_t> step = 1;
    if (dash != std::string::npos) {
      last = parse_integer(part.substr(dash + 1, colon - std::min(colon, dash + 1)));
    }
    if (colon != std::string::npos) step = parse_integer(part.substr(colon + 1));
    constexpr std::int64_t kMost = 1 << 16;
    if (!first || !last || !step || *first < 0 || *last > kMost || *step < 1) return std::nullopt;
    for (std::int64_t cpu = *first; cpu <= *last; cpu += *step) cpus.insert(static_cast<int>(cpu));
  }
  return cpus;
}

bool all_in(const std::set<int>& cpus, const CpuSet& allowed) {
  return std::all_of(cpus.begin(), cpus.end(), [&](int cpu) { return allowed.contains(cpu); });
}

// Unlike all other variables it takes threads out of the rank's mask.
void warn_of_gomp(const Settings& settings, LaunchPlan& plan) {
  const auto gomp = settings.given("GOMP_CPU_AFFINITY");
  if (!gomp) return;
  const auto cpus = cpus_of(gomp->value);
  std::string text = shown("GOMP_CPU_AFFINITY", *gomp) + ": ";
  const auto outside = std::find_if(plan.ranks.begin(), plan.ranks.end(), [&](const auto& rank) {
    return cpus && !all_in(*cpus, rank.cpuset);
  });
  if (outside != plan.ranks.end()) {
    text += fmt::format(
        "GNU's OpenMP takes the threads of every rank to these CPUs, also those of rank {}, which "
        "has CPUs {}; ",
        outside->rank, outside->cpuset.to_string());
  } else {
    text +=
        "GNU's OpenMP gives each thread of a rank one of these CPUs, the main thread the "
        "first; ";
  }
  plan.warnings.push_back(text + "unset it, resources.omp_binding gives each rank its own places");
}

void warn_of_kmp(const Settings& settings, LaunchPlan& plan) {
  const auto kmp = settings.given("KMP_AFFINITY");
  if (!kmp) return;
  const std::string value = small(kmp->value);
  for (const char* harmless : {"disabled", "none", "respect", "verbose", "warnings"}) {
    if (value == harmless) return;
  }
  if (value.find("disabled") != std::string::npos || value.find("none") != std::string::npos) {
    return;
  }
  plan.warnings.push_back(
      shown("KMP_AFFINITY", *kmp) +
      ": Intel's and LLVM's OpenMP (MKL, the torch of conda) go by it and not by OMP_PROC_BIND, "
      "and "
      "pin the main thread of each rank, too, so that the processes that it starts, such as data "
      "loaders, have its place alone; unset it, or set it to disabled");
}

void warn_of_count(const Settings& settings, LaunchPlan& plan) {
  const auto count = settings.given("OMP_NUM_THREADS");
  if (!count) return;
  const auto threads = parse_integer(count->value.substr(0, count->value.find(',')));
  if (!threads) return;
  for (const RankPlacement& rank : plan.ranks) {
    if (!rank.bound || rank.core_count < 1 || *threads <= rank.core_count) continue;
    plan.warnings.push_back(fmt::format(
        "{}: rank {} has {} for {} threads; unset it, or set resources.threads to auto",
        shown("OMP_NUM_THREADS", *count), rank.rank, counted(rank.core_count, "core"), *threads));
    return;
  }
}

}  // namespace

void warn_of_thread_settings(const FamilyFacts& facts, LaunchPlan& plan) {
  const Settings settings(facts, plan);
  warn_of_count(settings, plan);
  warn_of_proc_bind(settings, plan);
  warn_of_gomp(settings, plan);
  warn_of_kmp(settings, plan);
  const auto& threads = facts.config.resources.threads;
  if (threads.value.kind != config::ThreadCount::Kind::kNumber) return;
  for (const RankPlacement& rank : plan.ranks) {
    if (!rank.bound || rank.core_count < 1 || threads.value.number <= rank.core_count) continue;
    plan.warnings.push_back(fmt::format("threads is {} ({}), and rank {} has {} for them",
                                        threads.value.number, threads.origin.text, rank.rank,
                                        counted(rank.core_count, "core")));
    return;
  }
}

}  // namespace muster::plan
