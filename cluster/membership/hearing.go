package membership

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// hearing notes when a packet last came from each member's address. memberlist
// drops an answer that comes too late silently, so that a machine with a
// slow network looks to it like a dead one: this tells them apart.
type hearing struct {
	mu    sync.RWMutex // guards what follows, not what it points to
	since time.Time    // what the times below are counted from, whatever the wall clock does
	at    map[netip.AddrPort]*atomic.Int64
}

// listenTo begins to note packets from an address, host:port.
func (h *hearing) listenTo(addr string) {
	from, err := netip.ParseAddrPort(addr)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at == nil {
		h.since = time.Now()
		h.at = map[netip.AddrPort]*atomic.Int64{}
	}
	if h.at[from] == nil {
		h.at[from] = &atomic.Int64{}
	}
}

// heard notes a packet. Those of strangers leave no trace.
func (h *hearing) heard(from netip.AddrPort, at time.Time) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if last := h.at[from]; last != nil {
		last.Store(int64(at.Sub(h.since)))
	}
}

// last returns when a packet last came from an address; zero for never.
func (h *hearing) last(addr string) time.Time {
	from, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if last := h.at[from]; last != nil && last.Load() != 0 {
		return h.since.Add(time.Duration(last.Load()))
	}
	return time.Time{}
}
