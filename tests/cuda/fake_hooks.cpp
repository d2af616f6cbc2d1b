// Autograd asks the driver for streams and devices: answers for a GPU that isn't there.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
using namespace c10;
static const Stream zero(Stream::DEFAULT, Device(DeviceType::CUDA, 0));
struct Guard final : public impl::NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device getDevice() const override { return zero.device(); }
  Device exchangeDevice(Device) const override { return zero.device(); }
  Stream getStream(Device) const noexcept override { return zero; }
  Stream getDefaultStream(Device) const override { return zero; }
  Stream exchangeStream(Stream) const noexcept override { return zero; }
};
struct Hooks final : public at::CUDAHooksInterface {
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void init() const override {}
  int getNumGPUs() const override { return 1; }
  bool isPinnedPtr(const void*) const override { return false; }
};
extern "C" void install() {
  static Guard guard;
  static Hooks hooks;
  impl::device_guard_impl_registry[static_cast<size_t>(DeviceType::CUDA)].store(&guard);
  auto& own = const_cast<at::CUDAHooksInterface&>(at::detail::getCUDAHooks());
  *reinterpret_cast<void**>(&own) = *reinterpret_cast<void**>(static_cast<at::CUDAHooksInterface*>(&hooks));
}
