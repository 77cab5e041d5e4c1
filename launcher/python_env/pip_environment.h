// The variables of pip: which of them decide what is installed, and which would take it elsewhere.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace muster::python_env {

// What the caller's PIP_* variables say about which packages are taken: "index-url=https://…".
std::vector<std::string> pip_settings(const std::map<std::string, std::string>& environment);

// The words of PIP_FIND_LINKS.
std::vector<std::string> find_links_of(const std::map<std::string, std::string>& environment);

// The variables of a program that makes an environment: the caller's, without those that would make
// pip install elsewhere or ask a person, and without another environment's.
std::vector<std::string> maker_environment(const std::map<std::string, std::string>& environment,
                                           const std::map<std::string, std::string>& more = {});

}  // namespace muster::python_env
