// One function for each dialect: its tree in, a native tree out.
#pragma once

#include "launcher/config/dialects/dialect.h"
#include "launcher/config/dialects/translation.h"

namespace muster::config {

void translate_run_configuration(const NodePtr& root, Translation& to);
void translate_workbench(const NodePtr& root, Translation& to);
void translate_command_job(const NodePtr& root, Translation& to);
void translate_batchai_job(const NodePtr& root, Translation& to);

// By dialect; kNative leaves the translation empty.
void translate(Dialect dialect, const NodePtr& root, Translation& to);

}  // namespace muster::config
