package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"fleettop/daemon/keys"
)

const joinReplySize = 1 << 20

// Joining says how a new machine gets the cluster's key.
type Joining struct {
	Token     string
	Addresses []string // host or host:port of the API of machines of the cluster
	KeyFile   string   // where the key goes; replaced if it is there
	StateDir  string   // where the daemon will look for the cluster's addresses
}

// FetchKey hands a token in for the cluster's key, and keeps the key and the
// cluster's addresses for the daemon. It returns the ID of the key.
func FetchKey(ctx context.Context, j Joining) (string, error) {
	t, err := keys.ParseToken(j.Token)
	if err != nil {
		return "", err
	}
	if len(j.Addresses) == 0 {
		return "", errors.New("no address of the cluster: give the whole line that `fleettop join-command` printed")
	}
	var errs []error
	for _, a := range j.Addresses {
		addr, err := withPort(a, DefaultPort+apiPort)
		if err != nil {
			return "", fmt.Errorf("address %q: %w", a, err)
		}
		reply, final, err := askForKey(ctx, t, addr)
		if err == nil {
			return keepKey(j, reply)
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
		if final || ctx.Err() != nil {
			break
		}
	}
	return "", fmt.Errorf("the cluster's key could not be fetched: %w", errors.Join(errs...))
}

// askForKey asks one machine; final means that no other one would answer better.
func askForKey(ctx context.Context, t keys.Token, addr string) (reply joinReply, final bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]string{"token": t.Text()})
	if err != nil {
		return joinReply{}, true, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+net.JoinHostPort(keys.JoinServerName, strconv.Itoa(DefaultPort))+joinPath, bytes.NewReader(body))
	if err != nil {
		return joinReply{}, true, err
	}
	req.Header.Set("Content-Type", "application/json")
	d := net.Dialer{Timeout: 3 * time.Second}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: t.JoinConfig(),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }}}
	resp, err := client.Do(req)
	if err != nil {
		return joinReply{}, false, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, joinReplySize))
	if err == nil {
		err = json.Unmarshal(raw, &reply)
	}
	if err != nil {
		return joinReply{}, false, fmt.Errorf("it answered %s: %w: is it a fleettop of another version?", resp.Status, err)
	}
	if resp.StatusCode != http.StatusOK {
		return joinReply{}, resp.StatusCode != http.StatusServiceUnavailable, errors.New(reply.Error)
	}
	return reply, true, nil
}

// keepKey writes down what a machine needs to know before its daemon starts.
// The key comes last: with it, the daemon starts.
func keepKey(j Joining, reply joinReply) (string, error) {
	ring, err := keys.Parse([]byte(reply.Ring))
	if err != nil {
		return "", fmt.Errorf("what the cluster sent: %w", err)
	}
	if err := os.MkdirAll(j.StateDir, 0o700); err != nil {
		return "", fmt.Errorf("%w: run as root, or choose another --state-dir", err)
	}
	book := &peerBook{path: filepath.Join(j.StateDir, peersFile)}
	if err := book.keep(reply.Gossip); err != nil {
		return "", err
	}
	if err := ring.Save(j.KeyFile); err != nil {
		return "", fmt.Errorf("%w: run as root, or choose another --key-file; the token is used up, so print a new line with `fleettop join-command` first", err)
	}
	return ring.Primary().ID(), nil
}
