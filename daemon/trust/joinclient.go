package trust

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
	"time"

	"fleettop/daemon/keys"
	"fleettop/units/diskfault"
)

const joinReplySize = 1 << 20

// Grant is what a machine of the cluster gives for a token.
type Grant struct {
	Ring   keys.Ring
	Gossip []string // addresses of the cluster's machines
}

// KeyInTheWay says which key is in the file that a key of another cluster is to
// go to, or "" if there is none. It asks no other machine. Its error is about
// the token.
func KeyInTheWay(token, keyFile string) (string, error) {
	t, err := keys.ParseToken(token)
	if err != nil {
		return "", err
	}
	ring, err := keys.Load(keyFile)
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

// FetchKey hands a token in for the cluster's key at the API of one of the
// cluster's machines, by addresses of the form host:port. It writes nothing. Its
// errors say what each machine answered; keys.ErrBadToken is one.
func FetchKey(ctx context.Context, token string, addresses []string) (Grant, error) {
	t, err := keys.ParseToken(token)
	if err != nil {
		return Grant{}, err
	}
	var errs []error
	for _, addr := range addresses {
		reply, final, err := askForKey(ctx, t, addr)
		if err == nil {
			ring, err := keys.Parse([]byte(reply.Ring))
			if err != nil {
				return Grant{}, fmt.Errorf("what the cluster sent: %w", err)
			}
			return Grant{Ring: ring, Gossip: reply.Gossip}, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
		if final || ctx.Err() != nil {
			break
		}
	}
	return Grant{}, fmt.Errorf("the cluster's key could not be fetched: %w", errors.Join(errs...))
}

// KeepKey writes the key to a file. A key that it replaces is kept beside it, in
// the file that KeepKey returns; "" where there was none, or the same. Its errors
// name the file.
func KeepKey(ring keys.Ring, keyFile string) (aside string, err error) {
	if had, err := keys.Load(keyFile); !errors.Is(err, fs.ErrNotExist) && (err != nil || !had.Equal(ring)) {
		if aside, err = keys.CopyAside(keyFile); err != nil {
			return "", fmt.Errorf("%w: move %s away", err, keyFile)
		}
	}
	if err := ring.Save(keyFile); err != nil {
		return "", fmt.Errorf("%w: %s", err, diskfault.Advice(err, "--key-file"))
	}
	return aside, nil
}

// askForKey asks one machine; final means that no other one would answer better.
func askForKey(ctx context.Context, t keys.Token, addr string) (reply joinReply, final bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := json.Marshal(map[string]string{"token": t.Text()})
	if err != nil {
		return joinReply{}, true, err
	}
	const joinURL = "https://" + keys.JoinServerName + joinPath // the name is for TLS: addr is dialled
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, joinURL, bytes.NewReader(body))
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
