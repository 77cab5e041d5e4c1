#include "collector/sqlite/local_disk.h"

#include <algorithm>
#include <sys/vfs.h>

namespace muster::sqlite {
namespace fs = std::filesystem;

bool keeps_databases(long file_system_type) {
  constexpr long kLocal[] = {
      0xEF53,      // ext2, ext3, ext4
      0x58465342,  // xfs
      0x9123683E,  // btrfs
      0x01021994,  // tmpfs
      0x858458F6,  // ramfs
      0x794C7630,  // overlayfs
      0x2FC12FC1,  // zfs
      0xF2F52010,  // f2fs
      0xCA451A4E,  // bcachefs
      0x3153464A,  // jfs
      0x52654973,  // reiserfs
      0xF15F,      // ecryptfs
  };
  // Some are negative where long has 32 bits.
  return std::find(std::begin(kLocal), std::end(kLocal), file_system_type & 0xFFFFFFFFL) !=
         std::end(kLocal);
}

bool keeps_databases(const fs::path& directory) {
  struct statfs status {};
  return ::statfs(directory.c_str(), &status) == 0 &&
         keeps_databases(static_cast<long>(status.f_type));
}

}  // namespace muster::sqlite
