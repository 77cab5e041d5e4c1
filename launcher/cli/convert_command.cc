// `muster convert`: a config of any dialect in Muster's own form.

#include <filesystem>

#include "base/files.h"
#include "launcher/cli/commands.h"
#include "launcher/config/write_native.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

Error usage(std::string message, std::string hint) {
  return Error{ErrorCode::kUsage, std::move(message), std::move(hint), std::nullopt};
}

}  // namespace

CommandResult convert_command(const CommandLine& line) {
  if (line.words.size() != 1 || line.after_dashes) {
    return problem(usage("muster convert takes one run config",
                         "muster convert job.runconfig --output run.yaml"));
  }
  std::string text;
  auto config = load_config(line, text);
  if (!config) return tl::unexpected<Problems>(std::move(config).error());
  const auto output = line.text("output");
  if (!output) {
    // Whoever redirects it decides where it lies; where its paths lead is said.
    const fs::path directory = fs::absolute(line.words.front()).lexically_normal().parent_path();
    const bool elsewhere = directory != fs::path(config->config_directory);
    const std::string note =
        elsewhere ? "# relative paths count from " + config->config_directory + "\n" : "";
    return print(note + config::native_yaml(*config));
  }
  std::error_code error;
  if (fs::exists(fs::symlink_status(*output, error))) {
    return problem(usage(*output + " exists, and is not replaced",
                         "remove it, or name another with " + line.name_as_given("output")));
  }
  const fs::path directory = fs::absolute(*output).lexically_normal().parent_path();
  const std::string native =
      config::native_yaml(config::relocated(std::move(*config), directory.string()));
  if (auto written = replace_file(*output, native); !written) {
    return problem(std::move(written).error());
  }
  return 0;
}

}  // namespace muster::cli
