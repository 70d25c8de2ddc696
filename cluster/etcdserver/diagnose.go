package etcdserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// look is how long an endpoint is waited for when it is looked at.
type look struct {
	limit time.Duration // of all of it
	alert time.Duration // for a server that refuses a certificate, or plain text, to say so
}

// Diagnose connects to each endpoint of a client that gets no answer, and
// returns why it can't and what to do. Both are empty if an endpoint takes
// connections as it should: then it is up to etcd itself.
func Diagnose(ctx context.Context, cfg ClientConfig) (cause, advice string) {
	return look{limit: 2 * time.Second, alert: 300 * time.Millisecond}.diagnose(ctx, cfg)
}

func (l look) diagnose(ctx context.Context, cfg ClientConfig) (cause, advice string) {
	secure := cfg.TLSConfig
	if secure == nil && cfg.TLS.enabled() {
		var err error
		if secure, err = cfg.TLS.info().ClientConfig(); err != nil {
			return fmt.Sprintf("the certificate for it can't be read: %v", err),
				"give a readable --etcd-cert, --etcd-key and --etcd-ca"
		}
	}
	type answer struct{ cause, advice string }
	answers := make([]answer, len(cfg.Endpoints))
	var looks sync.WaitGroup
	for i, e := range cfg.Endpoints {
		looks.Go(func() { answers[i].cause, answers[i].advice = l.endpoint(ctx, e, secure) })
	}
	looks.Wait()
	var causes, remedies []string
	for i, a := range answers {
		if a.cause == "" {
			return "", ""
		}
		causes = append(causes, cfg.Endpoints[i]+": "+a.cause)
		if !slices.Contains(remedies, a.advice) {
			remedies = append(remedies, a.advice)
		}
	}
	return strings.Join(causes, "; "), strings.Join(remedies, "; ")
}

// endpoint looks at one endpoint: what is wrong and what to do, or "" if nothing is.
func (l look) endpoint(ctx context.Context, endpoint string, secure *tls.Config) (cause, advice string) {
	ctx, cancel := context.WithTimeout(ctx, l.limit)
	defer cancel()
	scheme, host := "", endpoint
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		scheme, host = u.Scheme, u.Host
	}
	if scheme == "" && secure != nil {
		scheme = "https"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return unreachable(err)
	}
	defer conn.Close()
	answer, err := l.greet(conn)
	plain := len(answer) > 3 && answer[3] == settingsFrame
	if scheme != "https" {
		switch {
		case plain, isTimeout(err):
			return "", ""
		case l.speaksTLS(ctx, host):
			return "it speaks TLS, and the endpoint is plain HTTP",
				"write https:// in --etcd-endpoints, and give --etcd-cert, --etcd-key and --etcd-ca"
		}
		return "it answers, but is no etcd", "correct the port in --etcd-endpoints"
	}
	if plain {
		return "it speaks plain HTTP, and the endpoint is https", "write http:// in --etcd-endpoints, or turn TLS on in etcd"
	}
	if secure == nil {
		secure = &tls.Config{}
	}
	secure = secure.Clone()
	if secure.ServerName == "" {
		secure.ServerName, _, _ = net.SplitHostPort(host)
	}
	if err := l.handshake(ctx, host, secure); err != nil {
		return refusedTLS(err)
	}
	return "", ""
}

// settingsFrame is the type of the frame with which a server of HTTP/2 begins.
const settingsFrame = 4

// greet begins to speak HTTP/2 in plain text, and returns the first of the answer.
func (l look) greet(conn net.Conn) ([]byte, error) {
	_ = conn.SetDeadline(time.Now().Add(l.alert))
	_, _ = conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	answer := make([]byte, 9) // a frame's header
	n, err := io.ReadFull(conn, answer)
	return answer[:n], err
}

// handshake connects by TLS and waits a moment: a server says only after the
// handshake that it wants another certificate.
func (l look) handshake(ctx context.Context, host string, secure *tls.Config) error {
	secure.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(l.alert))
	if _, err := conn.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
		return err
	}
	return nil
}

func (l look) speaksTLS(ctx context.Context, host string) bool {
	err := l.handshake(ctx, host, &tls.Config{InsecureSkipVerify: true})
	return err == nil || isAlert(err)
}

func isAlert(err error) bool {
	var alert tls.AlertError
	return errors.As(err, &alert) || strings.Contains(err.Error(), "remote error: tls")
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func unreachable(err error) (cause, advice string) {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused",
			"see that etcd runs and listens there, and that --etcd-endpoints has its port for clients"
	case errors.As(err, &dns):
		return "there is no such host", "correct --etcd-endpoints, or the name"
	case isTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return "no answer", "see that the machine is up and no firewall drops the connection"
	}
	return err.Error(), "see that the address in --etcd-endpoints is right and can be reached"
}

func refusedTLS(err error) (cause, advice string) {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	text := err.Error()
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by an authority that isn't trusted here",
			"give the authority that signed it with --etcd-ca"
	case errors.As(err, &host):
		return "its certificate is for another name: " + host.Error(),
			"write a name in --etcd-endpoints that its certificate has"
	case errors.As(err, &invalid):
		return "its certificate is not valid: " + invalid.Error(),
			"renew etcd's certificate, or set this machine's clock right"
	case isAlert(err):
		return "it refuses this machine's certificate: " + strings.TrimPrefix(text, "remote error: "),
			"give a certificate signed by etcd's --trusted-ca-file, and not expired, with --etcd-cert and --etcd-key"
	case isTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return "it takes the connection and doesn't answer", "see that etcd runs there and isn't overloaded"
	}
	return "TLS fails: " + text, "see that --etcd-endpoints is right and that etcd's TLS is in order"
}
