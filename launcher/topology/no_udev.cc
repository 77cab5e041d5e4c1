// Only in a static build: Debian has no static libudev.  hwloc asks it for names of disks, which we
// filter out, and does without where there is no udev.

extern "C" {
void* udev_new();
void* udev_unref(void* udev);
void* udev_device_new_from_subsystem_sysname(void* udev, const char* subsystem, const char* name);
void* udev_device_unref(void* device);
const char* udev_device_get_property_value(void* device, const char* key);

void* udev_new() {
  return nullptr;
}

void* udev_unref(void* /*udev*/) {
  return nullptr;
}

void* udev_device_new_from_subsystem_sysname(void* /*udev*/, const char* /*subsystem*/,
                                             const char* /*name*/) {
  return nullptr;
}

void* udev_device_unref(void* /*device*/) {
  return nullptr;
}

const char* udev_device_get_property_value(void* /*device*/, const char* /*key*/) {
  return nullptr;
}
}
