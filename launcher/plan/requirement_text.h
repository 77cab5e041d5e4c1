// The lines in which pip and conda write packages, as far as a plan must understand them.
//
// What they mean is pip's and conda's matter: a line that is not understood is passed on as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::plan {

// A name as package indexes compare it: "Torch_Vision" and "torch.vision" are "torch-vision".
std::string normalized_name(std::string_view name);

// The name that a line asks for: "numpy" of "NumPy[extra]>=1.2 ; python_version>'3'", "pkg" of
// "pkg @ https://…".  "" of an option, a path or a bare URL.
std::string distribution_name(std::string_view requirement);

// The name that a file of a package begins with: "numpy" of "numpy-1.2-cp311-….whl".
std::string distribution_of_file(std::string_view file_name);

// A requirement file's lines: without comments, continued ones joined, empty ones left out.
std::vector<std::string> requirement_lines(std::string_view text);

// What follows an option at the beginning of a line, "-r other.txt" or "--requirement=other.txt";
// nullopt when the line is not that option.
std::optional<std::string> option_value(std::string_view line, std::string_view short_name,
                                        std::string_view long_name);

// The path of a line that names one: "./pkg", "-e ../pkg", "/w/a.whl", "a @ file:///w/a.whl"; ""
// of any other.
std::string local_path(std::string_view requirement);

// What a conda spec asks for, for pip: "conda-forge::numpy=1.16" is "numpy==1.16.*", "pytorch" is
// "torch".  nullopt for what no index has under any name: python, pip, cudatoolkit and their like.
std::optional<std::string> pip_requirement_of(std::string_view conda_spec);

// The version of "python=3.8" and "python >=3.8,<3.10" as pip would write it; nullopt for another
// package, and "" when any will do.
std::optional<std::string> python_version_of(std::string_view conda_spec);

// Whether "3.11.2" fits "==3.8.*", ">=3.8,<3.12"; nullopt when the text is not understood.
std::optional<bool> version_fits(std::string_view version, std::string_view wanted);

}  // namespace muster::plan
