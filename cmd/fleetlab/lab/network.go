package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	bridgeName = "br0"
	nicName    = "eth0" // a machine's end of its cable
	cableTail  = "x"    // the TAP of machine n1's cable in user space is n1x
)

// switchNamespace is the name of the network namespace with the bridge.
func (l *Lab) switchNamespace() string { return l.prefix() + "switch" }

// makeSwitch makes the bridge all machines are plugged into.
func (l *Lab) makeSwitch() error {
	return makeNamespace(l.switchNamespace(), func() error {
		// A cable in user space takes a port out of the bridge. Such a port must
		// not speak for the switch: it would be a way around the cable.
		for name, value := range map[string]string{"ipv6/conf/default/disable_ipv6": "1", "ipv4/conf/all/arp_ignore": "1"} {
			err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
		bridge.Name = bridgeName
		// Of its own, as by default it would be one of its ports', which come and go.
		bridge.HardwareAddr = hardwareAddr(l.Gateway())
		if err := netlink.LinkAdd(bridge); err != nil {
			return fmt.Errorf("add bridge: %w", err)
		}
		return setUp(bridgeName, l.Gateway())
	})
}

// hardwareAddr returns a locally administered address of one's own for each IP.
func hardwareAddr(ip netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0xfb}, ip.AsSlice()...)
}

// setUp brings loopback and a link up, with an address.
func setUp(name string, ip netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("address %s of %s: %w", ip, name, err)
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// wire gives the machine a fresh network namespace and a cable to the switch.
// Fresh at each boot, so that no connection of the last run can speak again.
func (m *Machine) wire(st *machineState) error {
	err := makeNamespace(m.group(), func() error {
		nic := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: m.Name}
		nic.Name = nicName
		// The same at each boot, like a network card's: the others' ARP entries stay true.
		nic.HardwareAddr = hardwareAddr(m.IP)
		fd, err := unix.Open(filepath.Join(netnsHome, m.lab.switchNamespace()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		nic.PeerNamespace = netlink.NsFd(fd)
		if err := netlink.LinkAdd(nic); err != nil {
			return fmt.Errorf("add cable: %w", err)
		}
		if err := disableChecksumOffload(nicName); err != nil {
			return fmt.Errorf("set %s up: %w", nicName, err)
		}
		if err := setUp(nicName, m.IP); err != nil {
			return err
		}
		link, err := netlink.LinkByName(nicName)
		if err != nil {
			return err
		}
		// As on a real machine. The switch forwards nothing: it leads nowhere.
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: m.lab.Gateway().AsSlice()})
	})
	if err != nil {
		return err
	}
	if err := m.applyQuality(st); err != nil {
		return err
	}
	if st.Cut {
		return nil
	}
	return m.setLink(true)
}

// unwire removes what wire made. What isn't there is fine.
func (m *Machine) unwire(st *machineState) error {
	if err := m.removeCable(st); err != nil {
		return err
	}
	err := inNamespace(m.lab.switchNamespace(), func() error { return deleteLink(m.Name) })
	return errors.Join(err, removeNamespace(m.group()))
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

// setLink pulls or plugs the machine's cable at the switch; when it returns it is so.
func (m *Machine) setLink(up bool) error {
	return inNamespace(m.lab.switchNamespace(), func() error {
		link, err := netlink.LinkByName(m.Name)
		if err != nil {
			return fmt.Errorf("cable of %s: %w", m.Name, err)
		}
		if !up {
			return netlink.LinkSetDown(link)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return waitFor(ctx, "the cable's carrier", func() bool {
			link, err := netlink.LinkByName(m.Name)
			return err == nil && link.Attrs().OperState == netlink.OperUp
		})
	})
}

// Cut pulls the machine's cable, until Heal, also across boots.
func (m *Machine) Cut() error { return m.fail("cut", m.plug(false)) }

// Heal plugs it in again.
func (m *Machine) Heal() error { return m.fail("heal", m.plug(true)) }

func (m *Machine) plug(in bool) error {
	return m.change(func(st *machineState) error {
		st.Cut = !in
		if m.pid1Of(st.Supervisor) == 0 {
			return nil // the next boot sees to it
		}
		return m.setLink(in)
	})
}

// disableChecksumOffload makes the link send whole, checksummed frames of at
// most its MTU, which a cable in user space can carry as they are.
func disableChecksumOffload(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ command, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // the rest of C's struct ifreq
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&value)
	if errno != 0 {
		return fmt.Errorf("checksum offload: %w", errno)
	}
	return nil
}
