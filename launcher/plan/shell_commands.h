// The simple commands of a shell's text, as words: `cd src && torchrun train.py | tee out` has
// three.
//
// Enough of the shell's language to see which programs are named, and no more: nothing is expanded,
// and here-documents are read like the rest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace muster::plan {

// Quotes are removed; keywords (then, do, …), assignments and redirections are left out.
std::vector<std::vector<std::string>> simple_commands(std::string_view text);

}  // namespace muster::plan
