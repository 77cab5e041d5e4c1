// As JSON: the child and the parent are one program, so nobody else reads it.
#include "launcher/topology/gpu_answer.h"

#include <nlohmann/json.hpp>

namespace muster::topology {
namespace {

using nlohmann::json;

json json_of(const Gpu& gpu) {
  json object{{"uuid", gpu.uuid},
              {"bus_id", gpu.bus_id},
              {"model", gpu.model},
              {"physical_index", gpu.physical_index},
              {"numa_node", gpu.numa_node},
              {"locality_source", static_cast<int>(gpu.locality_source)},
              {"parent_uuid", gpu.parent_uuid},
              {"memory_bytes", gpu.memory_bytes},
              {"vendor", gpu.vendor},
              {"gpu_instance", gpu.gpu_instance},
              {"compute_instance", gpu.compute_instance},
              {"nvlinks", json::array()},
              {"processes", json::array()}};
  for (const NvLink& link : gpu.nvlinks) {
    object["nvlinks"].push_back({link.bus_id, link.count, link.to_switch});
  }
  for (const GpuProcess& process : gpu.processes) {
    object["processes"].push_back({process.pid, process.name, process.memory_bytes});
  }
  return object;
}

Gpu gpu_of(const json& object) {
  Gpu gpu;
  gpu.uuid = object.at("uuid");
  gpu.bus_id = object.at("bus_id");
  gpu.model = object.at("model");
  gpu.physical_index = object.at("physical_index");
  gpu.numa_node = object.at("numa_node");
  gpu.locality_source = static_cast<LocalitySource>(object.at("locality_source").get<int>());
  gpu.parent_uuid = object.at("parent_uuid");
  gpu.memory_bytes = object.at("memory_bytes");
  gpu.vendor = object.at("vendor");
  gpu.gpu_instance = object.at("gpu_instance");
  gpu.compute_instance = object.at("compute_instance");
  for (const json& link : object.at("nvlinks")) {
    gpu.nvlinks.push_back({link.at(0), link.at(1), link.at(2)});
  }
  for (const json& process : object.at("processes")) {
    gpu.processes.push_back({process.at(0), process.at(1), process.at(2)});
  }
  return gpu;
}

}  // namespace

std::string to_text(const GpuAnswer& answer) {
  json object{{"outcome", static_cast<int>(answer.outcome)},
              {"status", answer.status},
              {"error", answer.error},
              {"version", answer.version},
              {"gpus", json::array()},
              {"left_out", answer.left_out},
              {"notes", json::array()}};
  for (const Gpu& gpu : answer.gpus) object["gpus"].push_back(json_of(gpu));
  for (const Note& note : answer.notes) {
    object["notes"].push_back({static_cast<int>(note.kind), note.subject, note.text, note.hint});
  }
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<GpuAnswer> gpu_answer_of(const std::string& text) {
  try {
    const json object = json::parse(text);
    GpuAnswer answer;
    answer.outcome = static_cast<GpuAnswer::Outcome>(object.at("outcome").get<int>());
    answer.status = object.at("status");
    answer.error = object.at("error");
    answer.version = object.at("version");
    answer.left_out = object.at("left_out").get<std::vector<int>>();
    for (const json& gpu : object.at("gpus")) answer.gpus.push_back(gpu_of(gpu));
    for (const json& note : object.at("notes")) {
      answer.notes.push_back(
          {static_cast<Note::Kind>(note.at(0).get<int>()), note.at(1), note.at(2), note.at(3)});
    }
    return answer;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace muster::topology
