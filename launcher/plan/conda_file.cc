#include "launcher/plan/conda_file.h"

#include "launcher/config/document.h"

namespace muster::plan {
namespace {

using config::Node;
using config::NodePtr;

const Node* child(const Node& mapping, std::string_view key) {
  for (const config::Entry& entry : mapping.entries) {
    if (entry.key == key) return entry.value.get();
  }
  return nullptr;
}

std::vector<std::string> words(const Node* list) {
  std::vector<std::string> found;
  if (list == nullptr) return found;
  for (const NodePtr& item : list->items) {
    if (item->kind == Node::Kind::kScalar && !item->text.empty()) found.push_back(item->text);
  }
  return found;
}

}  // namespace

Result<CondaFile> read_conda_file(std::string_view text, const std::string& name) {
  const config::SourceText source(text, name);
  config::Document document = config::read_document(source);
  if (!document.problems.empty()) return Failure(document.problems.front());
  CondaFile file;
  if (!document.root || document.root->kind != Node::Kind::kMapping) {
    return fail(ErrorCode::kConfig, name + " is not a conda environment file",
                "it has channels and dependencies, as conda env export writes them");
  }
  file.channels = words(child(*document.root, "channels"));
  const Node* dependencies = child(*document.root, "dependencies");
  file.packages = words(dependencies);
  if (dependencies == nullptr) return file;
  for (const NodePtr& item : dependencies->items) {
    if (item->kind == Node::Kind::kMapping) file.pip = words(child(*item, "pip"));
  }
  return file;
}

}  // namespace muster::plan
