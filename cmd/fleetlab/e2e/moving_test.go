//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// TestAddressesChange gives machines another address while they are off, as a
// DHCP server may: first the one the others were told to join, then the other
// two at once. In the end nobody is where the cluster was founded, and it
// bears the loss of a machine like one that never moved. Then one changes its
// address under way, and its daemon takes it up by itself. At last all of them
// move at once, and do as the README says.
func TestAddressesChange(t *testing.T) {
	f := newFleet(t, 3, setup{options: longGrace})
	units := []string{"a.service", "b.service", "c.service", "d.service", "e.service", "f.service"}
	f.start(f.machines[0], sleepers(units...))
	n1, n2, n3 := f.machines[0], f.machines[1], f.machines[2]

	f.losesPower(n1, units)
	f.move(101, n1)

	f.losesPower(n2, units)
	_, err := n3.Kill() // and with it etcd's quorum: nothing moves
	f.must(err)
	f.move(102, n2, n3)

	dead := f.leader()
	f.losesPower(dead, units)
	f.procs.neverTwice(t)

	f.must(dead.Boot(f.ctx))
	f.must(dead.WaitBooted(f.ctx))
	f.settled(f.machines...)
	began, address := time.Now(), f.host(104)
	// From here on its units run twice, until it is back and stops its own.
	f.on(dead, "sh", "-c",
		"ip address flush dev eth0; ip address add "+address+"/24 dev eth0; ip route add default via "+f.lab.Gateway().String())
	f.found(dead, address, began)
	f.settled(f.machines...)

	f.allMove(105, dead, address)
	f.losesPower(f.leader(), units)
	f.procs.neverTwice(t)
}

// allMove gives every machine another address at once, while all of them are
// off, and does what the README says for it with the first, which was at old.
func (f *fleet) allMove(host byte, first *lab.Machine, old string) {
	f.t.Helper()
	for _, m := range f.machines {
		_, err := m.Kill()
		f.must(err)
	}
	began, now := time.Now(), f.host(host)
	f.boot(first, now, "--address="+old, "ip address add "+old+"/24 dev eth0")
	f.must(first.WaitBooted(f.ctx))
	f.move(host+1, f.others(first)...)
	f.daemonFlags(first, "")
	f.on(first, "ip", "address", "delete", old+"/24", "dev", "eth0")
	f.on(first, "systemctl", "restart", lab.UnitName)
	f.found(first, now, began)
	f.settled(f.machines...)
}

// losesPower takes a machine's power and waits until its units run elsewhere.
func (f *fleet) losesPower(victim *lab.Machine, units []string) {
	f.t.Helper()
	for _, unit := range units {
		f.home(unit)
	}
	before := f.procs.snapshot()
	died, err := victim.Kill()
	f.must(err)
	for _, unit := range units {
		if before[place{victim.Name, unit}] == 0 {
			continue
		}
		to, outage := f.movedTo(unit, victim, died, soon)
		f.t.Logf("%s moved from %s to %s, outage %.3f s", unit, victim.Name, to.Name, outage.Seconds())
	}
}

// move boots machines that are off with other addresses: these host numbers in
// the lab's subnet. It returns when etcd's members have followed.
func (f *fleet) move(host byte, machines ...*lab.Machine) {
	f.t.Helper()
	began := time.Now()
	addresses := map[*lab.Machine]string{}
	for i, m := range machines {
		addresses[m] = f.host(host + byte(i))
		f.boot(m, addresses[m], "")
	}
	for _, m := range machines {
		f.must(m.WaitBooted(f.ctx))
	}
	f.settled(f.machines...)
	for _, m := range machines {
		f.found(m, addresses[m], began)
	}
}

// boot boots a machine with another address and daemon flags, after these commands.
func (f *fleet) boot(m *lab.Machine, address, flags string, commands ...string) {
	f.t.Helper()
	lease := "[Unit]\nDescription=Another address\nBefore=fleettop.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
	for _, c := range append([]string{"ip address flush dev eth0", "ip address add " + address + "/24 dev eth0",
		"ip route add default via " + f.lab.Gateway().String()}, commands...) {
		lease += "ExecStart=" + c + "\n"
	}
	f.must(m.WriteFile("/etc/systemd/system/systemd-lease.service", []byte(lease), 0o644))
	f.must(m.WriteFile("/etc/systemd/system/fleettop.service.d/lease.conf",
		[]byte("[Unit]\nRequires=systemd-lease.service\n"), 0o644))
	f.daemonFlags(m, flags)
	f.must(m.Boot(f.ctx))
}

// host is an address in the lab's subnet.
func (f *fleet) host(n byte) string {
	ip := f.lab.Subnet().Addr().As4()
	return fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], n)
}

// found waits until etcd's members know of a machine's address.
func (f *fleet) found(m *lab.Machine, address string, began time.Time) {
	f.t.Helper()
	witness := f.others(m)[0] // m may be out of reach
	f.eventually("etcd to find "+m.Name+" at "+address, 3*soon, func() error {
		for _, e := range f.events(witness, began) {
			if e.Kind == cluster.EventVoter && e.Machine == m.MachineID && strings.Contains(e.Text, "is at https://"+address+":") {
				f.t.Logf("after %.3f s: %s", e.Time.Sub(began).Seconds(), e.Text)
				return nil
			}
		}
		return fmt.Errorf("the timeline says nothing of it:%s", f.timeline(witness, began))
	})
}
