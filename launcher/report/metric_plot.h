// A metric over its steps, drawn with characters.  Pure.
#pragma once

#include <string>
#include <vector>

#include "collector/metrics/query.h"

namespace muster::report {

struct PlotLook {
  int columns = 80;
  int rows = 12;  // of the drawing itself
  bool color = false;
};

// Two columns and four rows of dots to a character (braille).  The line is the mean; where ranks
// differ, every other dot from the least to the greatest value is set, too.
std::string metric_plot(const std::string& name, const std::vector<metrics::Band>& bands,
                        const PlotLook& look);

}  // namespace muster::report
