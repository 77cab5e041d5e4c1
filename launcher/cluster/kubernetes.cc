// Kubernetes: Indexed Job and JobSet, and Kubeflow's MPIJob and PyTorchJob.
// None of them says how many nodes there are but PyTorchJob: node_count does.
#include "base/text.h"
#include "launcher/cluster/schedulers.h"

namespace muster::cluster {
namespace {

// "train-worker-12" ends with "-worker-" and a number: 12.
std::optional<int> number_after(const std::string& text, const std::string& mark) {
  const std::size_t at = text.rfind(mark);
  if (at == std::string::npos) return std::nullopt;
  const auto value = parse_integer(text.substr(at + mark.size()));
  if (!value || *value < 0 || *value > 1'000'000) return std::nullopt;
  return static_cast<int>(*value);
}

std::string short_name(const Surroundings& around) {
  return around.hostname.substr(0, around.hostname.find('.'));
}

}  // namespace

// PET_* since the training operator 1.5; before it RANK and WORLD_SIZE counted pods.
Result<std::optional<SchedulerWord>> look_at_pytorchjob(const Surroundings& around) {
  SchedulerWord word;
  const auto nodes = variable(around, "PET_NNODES");
  // torchrun's own ranks have RANK, too; LOCAL_RANK tells them apart from pods.
  const bool old_pod = !nodes && variable(around, "MASTER_ADDR") && variable(around, "RANK") &&
                       variable(around, "WORLD_SIZE") && !variable(around, "LOCAL_RANK") &&
                       variable(around, "KUBERNETES_SERVICE_HOST");
  if (nodes && nodes->find(':') != std::string::npos) {
    return senseless("PET_NNODES", *nodes,
                     "a job that may grow and shrink: a run has one count of nodes");
  }
  if (!nodes && !old_pod) return std::optional<SchedulerWord>();
  MUSTER_TRY_ASSIGN(word.node_count, number(around, nodes ? "PET_NNODES" : "WORLD_SIZE"));
  MUSTER_TRY_ASSIGN(word.node_rank, number(around, nodes ? "PET_NODE_RANK" : "RANK"));
  for (const char* name : {"PET_MASTER_ADDR", "MASTER_ADDR"}) {
    const auto address = variable(around, name);
    // The master's pod calls itself so, and need not look itself up.
    if (!address || word.head_address) continue;
    const bool own = *address == "localhost" && word.node_rank && word.node_rank->value == 0;
    word.head_address = {own ? around.hostname : *address, name};
  }
  return std::optional(std::move(word));
}

// With runLauncherAsWorker the launcher's pod is the first node, and its end is the job's.
Result<std::optional<SchedulerWord>> look_at_mpijob(const Surroundings& around) {
  const char* const kRole = "K_MPI_JOB_ROLE";
  const auto role = variable(around, kRole);
  if (!role) return std::optional<SchedulerWord>();
  SchedulerWord word;
  const std::string name = short_name(around);
  const std::string mark = *role == "launcher" ? "-launcher" : "-worker-";
  const std::size_t at = name.rfind(mark);
  word.hint =
      "an MPIJob needs runLauncherAsWorker: true, and `muster run` as the command of its "
      "launcher and its workers (docs/kubernetes.md)";
  if (at == std::string::npos) return std::optional(std::move(word));
  const std::string job = name.substr(0, at);
  if (*role == "launcher") {
    word.node_rank = {0, kRole};
  } else if (const auto worker = number_after(name, mark)) {
    word.node_rank = {*worker + 1, "the pod's name"};
  }
  word.head_address = {job + "-launcher." + job, "the pod's name"};
  word.job_id = {job, "the pod's name"};
  return std::optional(std::move(word));
}

// Pods are called JOB-INDEX.  The service through which they are found has a name of its own: a
// JobSet's is the JobSet's, and the manifest hands it on (docs/kubernetes.md).
Result<std::optional<SchedulerWord>> look_at_indexed_job(const Surroundings& around) {
  SchedulerWord word;
  MUSTER_TRY_ASSIGN(word.node_rank, number(around, "JOB_COMPLETION_INDEX"));
  if (!word.node_rank) return std::optional<SchedulerWord>();
  const std::string name = short_name(around);
  const std::string end = "-" + std::to_string(word.node_rank->value);
  const std::string head =
      name.ends_with(end) ? name.substr(0, name.size() - end.size()) + "-0" : std::string("JOB-0");
  const auto service = variable(around, "JOBSET_NAME");
  if (service && head != "JOB-0") {
    word.head_address = {head + "." + *service, "JOBSET_NAME"};
  } else {
    word.hint =
        "the head's pod has a name through the headless service that the pods have as "
        "their subdomain: --rendezvous " +
        head + ".SERVICE (docs/kubernetes.md)";
  }
  return std::optional(std::move(word));
}

}  // namespace muster::cluster
