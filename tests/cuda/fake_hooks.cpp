// Autograd asks the driver for streams and devices: answers for a GPU that isn't there, NVIDIA's or Apple's.
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/detail/MPSHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
using namespace c10;
template <DeviceType T> struct Guard final : public impl::NoOpDeviceGuardImpl<T> {
  Stream zero() const { return Stream(Stream::DEFAULT, Device(T, 0)); }
  Device getDevice() const override { return Device(T, 0); }
  Device exchangeDevice(Device) const override { return Device(T, 0); }
  Stream getStream(Device) const noexcept override { return zero(); }
  Stream getDefaultStream(Device) const override { return zero(); }
  Stream exchangeStream(Stream) const noexcept override { return zero(); }
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};
static bool apple = false; // which of the two is there
struct Hooks final : public at::CUDAHooksInterface {
  bool hasCUDA() const override { return !apple; }
  bool isBuilt() const override { return !apple; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void init() const override {}
  int getNumGPUs() const override { return 1; }
  bool isPinnedPtr(const void*) const override { return false; }
};
struct AppleHooks final : public at::MPSHooksInterface {
  bool hasMPS() const override { return apple; }
  bool isBuilt() const override { return apple; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
};
template <class T> static void replace(const void* theirs, T* ours) {
  *reinterpret_cast<void**>(const_cast<void*>(theirs)) = *reinterpret_cast<void**>(ours);
}
extern "C" void choose(bool is_apple) { apple = is_apple; }
extern "C" void install() {
  static Guard<DeviceType::CUDA> nvidia;
  static Guard<DeviceType::MPS> apple;
  static Hooks hooks;
  impl::device_guard_impl_registry[static_cast<size_t>(DeviceType::CUDA)].store(&nvidia);
  impl::device_guard_impl_registry[static_cast<size_t>(DeviceType::MPS)].store(&apple);
  static AppleHooks apple_hooks;
  replace(&at::detail::getCUDAHooks(), static_cast<at::CUDAHooksInterface*>(&hooks));
  replace(&at::detail::getMPSHooks(), static_cast<at::MPSHooksInterface*>(&apple_hooks));
}
