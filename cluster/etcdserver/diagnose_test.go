package etcdserver

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDiagnose(t *testing.T) {
	plain := bootstrapped(t)
	secureConfig := newConfig(t, "m0")
	secureConfig.ClusterID, secureConfig.TLS = testCluster, newTLS(t)
	secure, err := Bootstrap(limit(t), secureConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secure.Close)
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a backlog that takes connections, and no server
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	strange := newTLS(t)
	mixed := secureConfig.TLS
	mixed.CertFile, mixed.KeyFile = strange.CertFile, strange.KeyFile
	for _, c := range []struct {
		name          string
		endpoints     []string
		tls           TLS
		cause, remedy string
	}{
		{"well", []string{plain.ClientURL()}, TLS{}, "", ""},
		{"well with TLS", []string{secure.ClientURL()}, secureConfig.TLS, "", ""},
		{"one of two is well", []string{"http://" + freeAddr(t), plain.ClientURL()}, TLS{}, "", ""},
		{"refused", []string{"http://" + freeAddr(t)}, TLS{}, "connection refused", "listens there"},
		{"plain for TLS", []string{"http://" + secure.cfg.ClientAddr}, TLS{}, "speaks TLS", "write https://"},
		{"TLS for plain", []string{"https://" + plain.cfg.ClientAddr}, secureConfig.TLS, "speaks plain HTTP", "write http://"},
		{"TLS without a certificate", []string{secure.ClientURL()}, TLS{}, "signed by an authority that isn't trusted", "--etcd-ca"},
		{"another authority", []string{secure.ClientURL()}, strange, "signed by an authority that isn't trusted", "--etcd-ca"},
		{"a certificate it doesn't trust", []string{secure.ClientURL()}, mixed, "refuses this machine's certificate", "--etcd-cert"},
		{"no such file", []string{secure.ClientURL()}, TLS{CertFile: "/nowhere", KeyFile: "/nowhere", CAFile: "/nowhere"}, "can't be read", "readable"},
		{"a web server", []string{web.URL}, TLS{}, "is no etcd", "correct the port"},
		{"silent", []string{"https://" + silent.Addr().String()}, secureConfig.TLS, "doesn't answer", "overloaded"},
		{"no such host", []string{"http://nowhere.invalid:2379"}, TLS{}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			patient := look{limit: 20 * time.Second, alert: 10 * time.Second} // a busy machine is slow to answer
			if c.name == "silent" {
				patient = look{limit: time.Second, alert: 100 * time.Millisecond}
			}
			cause, remedy := patient.diagnose(limit(t), ClientConfig{Endpoints: c.endpoints, TLS: c.tls,
				Logger: slog.New(slog.DiscardHandler)})
			if c.name == "no such host" {
				if cause == "" || remedy == "" {
					t.Error("expected a cause") // which one depends on the resolver
				}
				return
			}
			if !strings.Contains(cause, c.cause) || !strings.Contains(remedy, c.remedy) || (c.cause == "") != (cause == "") {
				t.Errorf("it says %q, %q; expected %q and %q in them", cause, remedy, c.cause, c.remedy)
			}
		})
	}
}
