// Slurm: a step of one launcher on each node, `srun --ntasks-per-node=1 muster run …`.
// The variables: srun(1), sbatch(1).
#include <algorithm>

#include "base/text.h"
#include "launcher/cluster/host_list.h"
#include "launcher/cluster/schedulers.h"

namespace muster::cluster {
namespace {

const char* const kOneEach = "one launcher a node: srun --ntasks-per-node=1 muster run …";
// Below the ports that Linux gives to connections that go out (32768 and more).
constexpr int kFirstPort = 20000;
constexpr int kPorts = 12000;

void add_job(const Surroundings& around, SchedulerWord& word) {
  if (const auto job = variable(around, "SLURM_JOB_ID")) {
    const std::string step = variable(around, "SLURM_STEP_ID").value_or("");
    // A job that was put back into the queue is another run than its former life.
    const std::string life = variable(around, "SLURM_RESTART_COUNT").value_or("0");
    word.job_id = {*job + "." + step + "." + life, "SLURM_JOB_ID"};
    // Several jobs may share a node.
    const auto id = std::max<std::int64_t>(parse_integer(*job).value_or(0), 0);
    word.port = {kFirstPort + static_cast<int>(id % kPorts), "SLURM_JOB_ID"};
  }
  const auto end = variable(around, "SLURM_JOB_END_TIME");
  const auto seconds = end ? parse_integer(*end) : std::nullopt;
  if (seconds && *seconds > 0) {
    word.time_left = {std::chrono::seconds(std::max<std::int64_t>(*seconds - around.now, 0)),
                      "SLURM_JOB_END_TIME"};
  }
}

}  // namespace

Result<std::optional<SchedulerWord>> look_at_slurm(const Surroundings& around) {
  SchedulerWord word;
  MUSTER_TRY_ASSIGN(word.node_count, number(around, "SLURM_STEP_NUM_NODES"));
  const auto list = variable(around, "SLURM_STEP_NODELIST");
  if (!word.node_count || !list) {
    // The shell of sbatch or salloc: srun has not started us.
    MUSTER_TRY_ASSIGN(const auto nodes, number(around, "SLURM_JOB_NUM_NODES"));
    if (!nodes || nodes->value < 2) return std::optional<SchedulerWord>();
    word.hint =
        "Slurm gave this job " + std::to_string(nodes->value) +
        " nodes (SLURM_JOB_NUM_NODES), and this launcher was not started by srun: " + kOneEach;
    return std::optional(std::move(word));
  }
  MUSTER_TRY_ASSIGN(word.node_rank, number(around, "SLURM_NODEID"));
  MUSTER_TRY_ASSIGN(const auto tasks, number(around, "SLURM_STEP_NUM_TASKS"));
  if (tasks && tasks->value != word.node_count->value) {
    return fail(ErrorCode::kUsage,
                "Slurm starts " + std::to_string(tasks->value) +
                    " launchers (SLURM_STEP_NUM_TASKS) on " +
                    std::to_string(word.node_count->value) + " nodes (SLURM_STEP_NUM_NODES)",
                kOneEach);
  }
  auto hosts = expand_host_list(*list);
  if (!hosts) return senseless("SLURM_STEP_NODELIST", *list, "which is no list of hosts");
  if (hosts->size() != static_cast<std::size_t>(word.node_count->value)) {
    return fail(ErrorCode::kUsage,
                "SLURM_STEP_NODELIST names " +
                    counted(static_cast<std::int64_t>(hosts->size()), "node") + " (" +
                    without_controls(list->substr(0, 200)) + "), and SLURM_STEP_NUM_NODES is " +
                    std::to_string(word.node_count->value),
                "unset the variables of another job, or start with srun");
  }
  word.head_address = {hosts->front(), "SLURM_STEP_NODELIST"};
  add_job(around, word);
  return std::optional(std::move(word));
}

}  // namespace muster::cluster
