// inputs and outputs of an Azure ML v2 command job.
#pragma once

#include "launcher/config/dialects/translation.h"

namespace muster::config {

void translate_job_inputs(const Given& inputs, Translation& to);
void translate_job_outputs(const Given& outputs, Translation& to);

}  // namespace muster::config
