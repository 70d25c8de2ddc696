package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"fleettop/daemon/etcdnode"
	"fleettop/daemon/keys"
	"fleettop/units/diskfault"
)

const joinReplySize = 1 << 20

// Joining says how a new machine gets the cluster's key.
type Joining struct {
	Token     string
	Addresses []string // host or host:port of the API of machines of the cluster
	KeyFile   string   // where the key goes; one that is there is kept beside it
	StateDir  string   // where the daemon will look for the cluster's addresses
}

// Joined says what FetchKey did.
type Joined struct {
	Key   string // ID of the key
	Aside string // where the key is that was there before; "" if there was none, or the same
}

// KeyInTheWay says which key is in the file that a key of another cluster is to
// go to, or "" if there is none. It asks no other machine.
func KeyInTheWay(j Joining) (string, error) {
	t, err := keys.ParseToken(j.Token)
	if err != nil {
		return "", err
	}
	ring, err := keys.Load(j.KeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "a key that can't be read (" + err.Error() + ")", nil
	case ring.Made(t):
		return "", nil
	}
	return "key " + ring.Primary().ID() + ", another cluster's or one that was rotated away", nil
}

// FetchKey hands a token in for the cluster's key, and keeps the key and the
// cluster's addresses for the daemon. A key that it replaces is kept.
func FetchKey(ctx context.Context, j Joining) (Joined, error) {
	t, err := keys.ParseToken(j.Token)
	if err != nil {
		return Joined{}, err
	}
	if len(j.Addresses) == 0 {
		return Joined{}, errors.New("no address of the cluster: give the whole line that `fleettop join-command` printed")
	}
	var errs []error
	for _, a := range j.Addresses {
		addr, err := withPort(a, DefaultPort+apiPort)
		if err != nil {
			return Joined{}, fmt.Errorf("address %q: %w", a, err)
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
	return Joined{}, fmt.Errorf("the cluster's key could not be fetched: %w", errors.Join(errs...))
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
	if sent := (*url.Error)(nil); errors.As(err, &sent) {
		err = sent.Err // without the address that only TLS needs
	}
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
func keepKey(j Joining, reply joinReply) (Joined, error) {
	const again = "; the token is used up, so print a new line with `fleettop join-command` first"
	ring, err := keys.Parse([]byte(reply.Ring))
	if err != nil {
		return Joined{}, fmt.Errorf("what the cluster sent: %w", err)
	}
	if err := os.MkdirAll(j.StateDir, 0o700); err != nil {
		return Joined{}, fmt.Errorf("%w: %s%s", err, diskfault.Advice(err, "--state-dir"), again)
	}
	if err := etcdnode.SaveSeeds(j.StateDir, reply.Gossip); err != nil {
		return Joined{}, err
	}
	joined := Joined{Key: ring.Primary().ID()}
	if had, err := keys.Load(j.KeyFile); !errors.Is(err, fs.ErrNotExist) && (err != nil || !had.Equal(ring)) {
		if joined.Aside, err = keys.CopyAside(j.KeyFile); err != nil {
			return Joined{}, fmt.Errorf("%w: move %s away%s", err, j.KeyFile, again)
		}
	}
	if err := os.Remove(departedPath(j.StateDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Joined{}, fmt.Errorf("%w: remove it%s", err, again)
	}
	if err := ring.Save(j.KeyFile); err != nil {
		return Joined{}, fmt.Errorf("%w: %s%s", err, diskfault.Advice(err, "--key-file"), again)
	}
	return joined, nil
}
