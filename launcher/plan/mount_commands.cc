#include "launcher/plan/mount_commands.h"

#include "base/text.h"

namespace muster::plan {
namespace {

std::string access_word(const DataItem& item) {
  return item.read_only ? "ro" : "rw";
}

void replace_all(std::string& text, std::string_view from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::vector<std::string> filled(std::vector<std::string> words, const DataItem& item) {
  std::string options = join(item.place->options, ",");
  options = options.empty() ? access_word(item) : access_word(item) + "," + options;
  for (std::string& word : words) {
    replace_all(word, "{source}", item.place->path);
    replace_all(word, "{target}", item.mount_point);
    replace_all(word, "{options}", options);
    replace_all(word, "{access}", access_word(item));
  }
  return words;
}

HelperCommand read_only_words(const DataFacts& facts, const DataItem& item) {
  return {{facts.mount_program, "--no-mtab", "-o", "remount,bind,ro", item.mount_point}};
}

}  // namespace

// As a slave: unmounting lazily takes everything below along, and with a shared mount that would
// reach what the user has mounted below the source.
std::vector<HelperCommand> bind_commands(const DataFacts& facts, const DataItem& item) {
  std::vector<HelperCommand> commands{{{facts.mount_program, "--no-mtab", "--rbind",
                                        "--make-rslave", item.place->path, item.mount_point}}};
  if (item.read_only) commands.push_back(read_only_words(facts, item));
  return commands;
}

std::vector<HelperCommand> nfs_commands(const DataFacts& facts, const DataItem& item) {
  const DataPlace& place = *item.place;
  std::string location = place.location;
  if (item.type == config::DataType::kFile) location.erase(location.rfind('/'));
  std::vector<std::string> options{access_word(item)};
  options.insert(options.end(), place.options.begin(), place.options.end());
  return {
      {{facts.mount_program, "-t", "nfs", "-o", join(options, ","), location, item.mount_point}}};
}

std::string write_cache(const DataItem& item) {
  return std::string(kRunPlaceholder) + "/.write-cache/" + item.name;
}

std::vector<HelperCommand> rclone_commands(const DataFacts& facts, const DataItem& item) {
  const DataPlace& place = *item.place;
  std::string location = place.location;
  HelperCommand command;
  command.stays = true;
  command.argv = {facts.rclone, "mount"};
  std::vector<std::string>& argv = command.argv;
  if (!place.config_file.empty()) argv.insert(argv.end(), {"--config", place.config_file});
  if (item.type == config::DataType::kFile) {
    const std::size_t name = location.find_last_of("/:") + 1;
    argv.insert(argv.end(), {"--include", "/" + location.substr(name)});
    location.erase(location[name - 1] == ':' ? name : name - 1);
  }
  if (item.read_only) {
    argv.emplace_back("--read-only");
  } else {
    // Programs write files in any order; what they wrote is uploaded when it is closed.
    argv.insert(argv.end(), {"--vfs-cache-mode", "writes", "--vfs-write-back", "1s", "--cache-dir",
                             write_cache(item)});
  }
  argv.insert(argv.end(), place.options.begin(), place.options.end());
  argv.insert(argv.end(), {location, item.mount_point});
  return {command};
}

std::vector<HelperCommand> own_commands(const DataFacts& facts, const DataItem& item) {
  std::vector<HelperCommand> commands{{filled(item.place->mount, item), true}};
  // Whatever the command made of {access}.
  if (item.read_only && facts.may_mount) commands.push_back(read_only_words(facts, item));
  return commands;
}

std::vector<std::string> unmount_command(const DataFacts& facts, const DataItem& item) {
  if (item.means == DataMeans::kCommand && !item.place->unmount.empty()) {
    return filled(item.place->unmount, item);
  }
  // As root umount(8) takes away FUSE mounts as well.
  if (facts.may_mount && !facts.umount_program.empty()) {
    std::vector<std::string> argv{facts.umount_program};
    if (item.means == DataMeans::kBind) argv.emplace_back("-R");
    argv.push_back(item.mount_point);
    return argv;
  }
  if (!facts.fusermount.empty()) return {facts.fusermount, "-u", item.mount_point};
  return {"umount", item.mount_point};
}

}  // namespace muster::plan
