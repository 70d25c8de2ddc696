package membership

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// NoSeedError says that no member could be reached by its seeds.
type NoSeedError struct {
	Failures []string // each seed and what was wrong with it
	OtherKey bool     // one of them has another cluster key
}

// Error implements error.
func (e *NoSeedError) Error() string {
	what := "no seed answered: " + strings.Join(e.Failures, "; ")
	if e.OtherKey {
		return "join the cluster: " + what + ": " + OtherKeyAdvice
	}
	return "join the cluster: " + what + ": check that a daemon runs there, that its gossip port is open for TCP " +
		"and UDP, and that both have the same cluster key"
}

// OtherKeyAdvice is what to do where the cluster's key is another.
const OtherKeyAdvice = "run here the line that `fleettop join-command` prints on one of the cluster's machines"

// Join makes contact with the cluster through any of the seeds, host:port
// each. Seeds that lead to this member itself are skipped. It returns a
// *NoSeedError if none could be reached,
// and a *ConflictError if another living member has this one's ID. It blocks
// for a second a seed at most, or until ctx ends.
func (m *Membership) Join(ctx context.Context, seeds []string) error {
	var joined, skipped int
	var failures []string
	otherKey := false
	for _, seed := range seeds {
		if err := ctx.Err(); err != nil {
			failures = append(failures, seed+": "+err.Error())
			continue
		}
		addrs, err := resolve(ctx, seed)
		if err != nil {
			failures = append(failures, seed+": "+err.Error())
			continue
		}
		for _, addr := range addrs {
			if addr == m.address {
				skipped++
				continue
			}
			if _, err := m.serf.Join([]string{addr}, true); err != nil {
				why := joinFailure(err)
				otherKey = otherKey || why == otherKeyFailure
				failures = append(failures, seed+": "+why)
				continue
			}
			joined++
		}
	}
	if joined == 0 && skipped == 0 {
		if len(seeds) == 0 {
			return errors.New("no seeds to join: name at least one member as host:port (--join)")
		}
		return &NoSeedError{Failures: failures, OtherKey: otherKey}
	}
	return m.conflict(ctx)
}

// resolve turns a seed into addresses, each host:port with an IP.
func resolve(ctx context.Context, seed string) ([]string, error) {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		return nil, errors.New("give host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("%q is not a port", port)
	}
	if host == "" {
		return nil, errors.New("no host before the port")
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return nil, errors.New("no such host")
		}
		return nil, err
	}
	addrs := make([]string, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip, port))
	}
	return addrs, nil
}

const otherKeyFailure = "it doesn't understand us, its cluster key is another"

// joinFailure says in a phrase what memberlist says in paragraphs.
func joinFailure(err error) string {
	var list interface{ WrappedErrors() []error }
	if errors.As(err, &list) && len(list.WrappedErrors()) > 0 {
		err = list.WrappedErrors()[0]
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	switch {
	case strings.Contains(text, "connection refused"):
		return "connection refused"
	case strings.Contains(text, "i/o timeout"):
		return "no answer"
	case strings.Contains(text, "no route to host"):
		return "no route to host"
	case strings.Contains(text, "crypt"), strings.Contains(text, "EOF"):
		return otherKeyFailure
	}
	return text
}
