// What a v1 run configuration starts, and how often: framework, communicator, and the block of
// counts that the communicator chooses.
//
//   None, nothing            one process
//   Mpi, OpenMpi, IntelMpi   nodeCount x mpi.processCountPerNode, whatever the framework
//   Nccl, Gloo               pytorch.processCount in total, else one on each node
//   ParameterServer          tensorflow.workerCount + parameterServerCount in total
//   ParallelTask             nodeCount x paralleltask.workerCountPerNode
//
// Numbers that are not used, or say different things, are warned of: none is dropped silently.

#include <array>
#include <utility>

#include "base/text.h"
#include "launcher/config/dialects/run_configuration.h"
#include "launcher/config/dialects/words.h"

namespace muster::config::v1 {
namespace {

enum class Communicator { kNone, kMpi, kTorch, kParameterServer, kParallelTask };

using Names = std::array<std::pair<std::string_view, Communicator>, 8>;
constexpr Names kCommunicators{{{"none", Communicator::kNone},
                                {"mpi", Communicator::kMpi},
                                {"openmpi", Communicator::kMpi},
                                {"intelmpi", Communicator::kMpi},
                                {"nccl", Communicator::kTorch},
                                {"gloo", Communicator::kTorch},
                                {"parameterserver", Communicator::kParameterServer},
                                {"paralleltask", Communicator::kParallelTask}}};

bool is_integer(const Given& value) {
  return value.is_scalar() && parse_integer(value.text()).has_value();
}

// A count, and where it is from.  0 is what exports of the service write for a count that is not
// used: it is no count, and told where it would be one.
struct Count {
  std::optional<Given> given;
  int value = 1;
  std::optional<Given> zero;

  bool is_given() const { return given.has_value(); }
};

Count take_count(Fields* fields, std::string_view name, Translation& to) {
  Count count;
  if (fields == nullptr) return count;
  auto value = fields->take_value(name);
  if (!value || is_none(*value)) return count;
  if (value->is_scalar() && parse_integer(value->text()) == 0) {
    count.zero = std::move(value);
    return count;
  }
  const auto number = to.count_of(*value, 1);
  if (!number) return count;
  count.given = std::move(value);
  count.value = *number;
  return count;
}

// The blocks, of which one counts.
struct Blocks {
  std::optional<Fields> mpi;
  std::optional<Fields> pytorch;
  std::optional<Fields> tensorflow;
  std::optional<Fields> parallel_task;
};

Fields* in(std::optional<Fields>& block) {
  return block ? &*block : nullptr;
}

struct Choice {
  Communicator communicator = Communicator::kNone;
  std::string word = "None";  // as the file writes it
  std::optional<Given> given;
};

struct Framework {
  std::optional<Communicator> communicator;  // that its name implies
  std::string word;
};

Framework take_framework(Fields& top, Translation& to) {
  const auto value = top.take_value("framework");
  if (!value || is_none(*value)) return {};
  const auto text = to.text_of(*value);
  if (!text) return {};
  if (is_integer(*value)) {
    if (*text != "0") {
      to.refuse(*value, "of the numbers that exports have for a framework only 0, Python, is known",
                "write the word: Python, TensorFlow or PyTorch");
    }
    return {std::nullopt, "Python"};
  }
  const std::string word = lower(*text);
  if (word.starts_with("pyspark")) {
    to.refuse(*value, "Spark jobs are not run by Muster",
              "submit it with spark-submit, or set framework to Python");
    return {};
  }
  if (word == "tensorflowparameterserver") return {Communicator::kParameterServer, *text};
  if (word == "pythonmpi" || word == "pythonintelmpi") return {Communicator::kMpi, *text};
  if (word == "python" || word == "cntk" || word == "tensorflow" || word == "pytorch") {
    return {std::nullopt, *text};
  }
  const std::vector<std::string> known{"Python", "TensorFlow", "PyTorch", "CNTK"};
  std::string hint = did_you_mean_hint(*text, known);
  to.refuse(*value, in_quotes(*text) + " is not one of " + join(known, ", "), std::move(hint));
  return {};
}

// An MpiConfiguration or its kin, assigned where its name was meant.
Choice communicator_of_mapping(const Given& mapping, Blocks& blocks, Translation& to) {
  const Fields fields(to, mapping);
  if (fields.has("processCountPerNode")) {
    to.warn(mapping, "it is a mapping with a process count, which is read as Mpi with that count");
    if (blocks.mpi) {
      to.warn(blocks.mpi->given(), "not used: communicator itself says the count");
    }
    blocks.mpi = fields;
    return {Communicator::kMpi, "Mpi", mapping};
  }
  if (fields.has("processCount") || fields.has("communicationBackend")) {
    to.warn(mapping, "it is a mapping with a process count in total, which is read as Nccl");
    blocks.pytorch = fields;
    return {Communicator::kTorch, "Nccl", mapping};
  }
  if (fields.has("workerCount")) {
    to.warn(mapping, "it is a mapping with a worker count, which is read as ParameterServer");
    blocks.tensorflow = fields;
    return {Communicator::kParameterServer, "ParameterServer", mapping};
  }
  to.refuse(mapping, "it takes a word", "write None, Mpi, Nccl, Gloo or ParameterServer");
  return {};
}

Choice take_communicator(Fields& top, const Framework& framework, Blocks& blocks, Translation& to) {
  const auto value = top.take("communicator");
  const bool nothing = !value || value->is_null() || (value->is_scalar() && value->text().empty());
  if (nothing || (is_none(*value) && framework.communicator)) {
    if (framework.communicator) return {*framework.communicator, framework.word, std::nullopt};
    return {Communicator::kNone, "None", value};
  }
  if (value->is_mapping()) return communicator_of_mapping(*value, blocks, to);
  const auto text = to.text_of(*value);
  if (!text) return {};
  if (is_integer(*value)) {
    if (*text != "0") {
      to.refuse(*value,
                "of the numbers that exports have for a communicator only 0, None, is known",
                "write the word: None, Mpi, Nccl, Gloo or ParameterServer");
    }
    return {Communicator::kNone, "None", value};
  }
  for (const auto& [name, communicator] : kCommunicators) {
    if (lower(*text) == name) return {communicator, *text, value};
  }
  const std::vector<std::string> known{"None", "Mpi",  "OpenMpi",         "IntelMpi",
                                       "Nccl", "Gloo", "ParameterServer", "ParallelTask"};
  std::string hint = did_you_mean_hint(*text, known);
  to.refuse(*value, in_quotes(*text) + " is not one of " + join(known, ", "), std::move(hint));
  return {};
}

void set_count(const NativeKey& key, const Count& count, Translation& to) {
  if (count.given) to.set(key, *count.given);
  if (!count.zero) return;
  to.warn(*count.zero, "it is 0, which starts nothing: 1 is taken");
  to.set(key, *count.zero, "1", count.zero->path + " is 0");
}

void set_backend(const char* backend, const Choice& choice, Translation& to) {
  if (choice.given) {
    const bool same = lower(choice.word) == backend;
    to.set("distributed_backend", *choice.given, backend, same ? "" : choice.word);
  } else {
    to.derive("distributed_backend", backend, "framework is " + choice.word);
  }
}

std::string said_at(const Count& count, Translation& to) {
  return count.given->path + " is " + std::to_string(count.value) + " (" +
         to.origin_of(*count.given).text + ")";
}

// nodeCount, unless only the block says more than one.
Count node_count(const Count& top, const Count& block, Translation& to) {
  if (!block.is_given() || block.value == top.value) {
    return top.is_given() || !block.is_given() ? top : block;
  }
  if (block.value > 1 && top.value == 1) {
    if (top.is_given()) {
      to.warn(*block.given, said_at(top, to) + " and this is " + std::to_string(block.value) +
                                ": " + std::to_string(block.value) + " is taken");
    }
    return block;
  }
  to.warn(*block.given,
          "not used: it is " + std::to_string(block.value) + ", and " + said_at(top, to));
  return top;
}

// A count above one that the communicator does not look at.
void warn_of_unused(const Count& count, const Choice& choice, Translation& to) {
  if (!count.is_given() || count.value <= 1) return;
  to.warn(*count.given, "not used: it is " + std::to_string(count.value) +
                            ", and communicator is " + choice.word);
}

void start_torch(const Choice& choice, const Count& nodes, const Count& total, Translation& to) {
  set_count("node_count", nodes, to);
  set_backend("direct", choice, to);
  if (total.zero) {
    to.warn(*total.zero, "it is 0, which starts nothing: one process is started on each node");
    to.set("process_count_per_node", *total.zero, "1", total.zero->path + " is 0");
    return;
  }
  if (!total.is_given()) {
    to.derive("process_count_per_node", "1",
              "communicator is " + choice.word + " and there is no pytorch.processCount");
    return;
  }
  if (total.value % nodes.value != 0) {
    to.refuse(*total.given,
              "it is " + std::to_string(total.value) + " in total, which cannot be shared by " +
                  counted(nodes.value, "node") + " evenly" +
                  (nodes.is_given() ? " (" + to.origin_of(*nodes.given).text + ")" : ""),
              "write a multiple of " + std::to_string(nodes.value));
    return;
  }
  const std::string each = std::to_string(total.value / nodes.value);
  to.set("process_count_per_node", *total.given, each,
         total.given->path + " is " + std::to_string(total.value) + " in total, over " +
             counted(nodes.value, "node"));
}

void start_roles(const Choice& choice, Count workers, Count servers, const Count& nodes,
                 Translation& to) {
  set_count("node_count", nodes, to);
  set_backend("direct", choice, to);
  const auto set_role = [&](const char* key, const Count& count) {
    set_count(key, count, to);
    if (!count.given && !count.zero) to.derive(key, "1", "Azure ML's default");
  };
  set_role("tensorflow.worker_count", workers);
  // No parameter server is a choice, but for a block of which nothing is used.
  if (servers.zero && !workers.zero) {
    to.set("tensorflow.parameter_server_count", *servers.zero);
  } else {
    set_role("tensorflow.parameter_server_count", servers);
  }
}

void start_once(const Choice& choice, const Count& nodes, Translation& to) {
  if (nodes.value <= 1) return set_count("node_count", nodes, to);
  const std::string count = std::to_string(nodes.value);
  to.warn(*nodes.given, "it is " + count + " and communicator is " + choice.word +
                            ", which leaves open what the nodes do: the script runs once, on one "
                            "node; for ranks on every node set communicator to Mpi");
  to.set("node_count", *nodes.given, "1",
         nodes.given->path + " is " + count + " without a communicator");
}

}  // namespace

void translate_launch(Fields& top, Translation& to) {
  Blocks blocks{top.take_group("mpi"), top.take_group("pytorch"), top.take_group("tensorflow"),
                top.take_group("paralleltask")};
  const Framework framework = take_framework(top, to);
  const Choice choice = take_communicator(top, framework, blocks, to);
  auto batchai = top.take_group("batchai");

  Count nodes = take_count(&top, "nodeCount", to);
  const Count old_nodes = take_count(in(batchai), "nodeCount", to);
  if (!nodes.is_given() && (old_nodes.is_given() || !nodes.zero)) {
    nodes = old_nodes;
  } else if (old_nodes.is_given() && old_nodes.value != nodes.value) {
    to.warn(*old_nodes.given,
            "not used: it is " + std::to_string(old_nodes.value) + ", and " + said_at(nodes, to));
  }
  const Count per_node = take_count(in(blocks.mpi), "processCountPerNode", to);
  const Count mpi_nodes = take_count(in(blocks.mpi), "nodeCount", to);
  const Count total = take_count(in(blocks.pytorch), "processCount", to);
  const Count torch_nodes = take_count(in(blocks.pytorch), "nodeCount", to);
  const Count workers = take_count(in(blocks.tensorflow), "workerCount", to);
  const Count servers = take_count(in(blocks.tensorflow), "parameterServerCount", to);
  const Count tasks = take_count(in(blocks.parallel_task), "workerCountPerNode", to);
  if (blocks.pytorch) blocks.pytorch->pass({"communicationBackend"});

  const auto unused = [&](std::initializer_list<const Count*> counts) {
    for (const Count* count : counts) warn_of_unused(*count, choice, to);
  };
  switch (choice.communicator) {
    case Communicator::kNone:
      start_once(choice, nodes, to);
      unused({&per_node, &mpi_nodes, &total, &torch_nodes, &workers, &servers, &tasks});
      break;
    case Communicator::kMpi:
      set_count("node_count", node_count(nodes, mpi_nodes, to), to);
      set_backend("mpi", choice, to);
      set_count("process_count_per_node", per_node, to);
      if (!per_node.is_given() && !per_node.zero && choice.given) {
        to.warn(*choice.given,
                "no mpi.processCountPerNode: one process on each node, however many GPUs it has");
      }
      unused({&total, &torch_nodes, &workers, &servers, &tasks});
      break;
    case Communicator::kTorch:
      start_torch(choice, node_count(nodes, torch_nodes, to), total, to);
      unused({&per_node, &mpi_nodes, &workers, &servers, &tasks});
      break;
    case Communicator::kParameterServer:
      start_roles(choice, workers, servers, nodes, to);
      unused({&per_node, &mpi_nodes, &total, &torch_nodes, &tasks});
      break;
    case Communicator::kParallelTask:
      set_count("node_count", nodes, to);
      set_backend("direct", choice, to);
      set_count("process_count_per_node", tasks, to);
      unused({&per_node, &mpi_nodes, &total, &torch_nodes, &workers, &servers});
      break;
  }
  if (blocks.parallel_task) {
    const Count retries = take_count(in(blocks.parallel_task), "maxRetriesPerWorker", to);
    if (retries.is_given())
      to.elsewhere(*retries.given, "a worker that fails is not started again");
    const auto codes = blocks.parallel_task->take_value("terminalExitCodes");
    if (codes && !is_none(*codes)) {
      to.elsewhere(*codes, "every exit code but 0 ends the run");
    }
  }
  for (auto* block :
       {&blocks.mpi, &blocks.pytorch, &blocks.tensorflow, &blocks.parallel_task, &batchai}) {
    if (*block) (*block)->finish();
  }
}

}  // namespace muster::config::v1
