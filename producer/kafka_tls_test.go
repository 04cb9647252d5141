//go:build unix

package producer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// A broker that wants a certificate of its clients, by one authority at a time.
func TestApacheKafkaCertificates(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the broker of this test takes several seconds to start")
	}
	servers, first := newAuthority(t), newAuthority(t)
	b := testbroker.Own(t, 1, append(tlsListener(t, servers), trusts(first))...)
	var presented atomic.Pointer[tls.Certificate]
	client := &tls.Config{RootCAs: servers.pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return presented.Load(), nil
	}}
	t.Run("Refused", func(t *testing.T) {
		presented.Store(newAuthority(t).issue(t, time.Now().Add(time.Hour), "client"))
		p := newProducer(t, b.Broker, Config{Brokers: b.TLS, Topic: b.CreateTopic(t, 1), TLS: client})
		if err := p.Start(bg); err == nil || Temporary(err) || !strings.Contains(err.Error(), "remote error") {
			t.Errorf("with a certificate of an unknown authority: %v; want the broker's alert", err)
		}
		nothingLeft(t, b.Broker, p)
		presented.Store(first.issue(t, time.Now().Add(time.Hour), "client"))
		start(t, p)
		if err := p.WriteMessages(bg, message("x")); err != nil {
			t.Error(err)
		}
		shutDown(t, b, p)
	})
	t.Run("Rotates", func(t *testing.T) { certificateRotates(t, b, client, &presented) })
}

// The authority is changed under load, at the broker first, and the connections are cut:
// they are refused until the client has a certificate of the new one. No write fails, and
// nothing restarts.
func certificateRotates(t *testing.T, b *testbroker.OwnBroker, client *tls.Config, presented *atomic.Pointer[tls.Certificate]) {
	topic := b.CreateTopic(t, 2)
	proxy := testbroker.NewProxy(t)
	p := newProducer(t, b.Broker, Config{Brokers: b.TLS, Topic: topic, TLS: client, Dial: proxy.Dial, Logger: slog.New(slog.DiscardHandler)})
	start(t, p)
	l := newLedger()
	ld := l.load(t, p, 4, 5*time.Millisecond)
	const rotations = 3
	for range rotations {
		next := newAuthority(t)
		set(t, b.Broker, trusts(next))
		until(t, "the old certificate to be refused", func() bool { proxy.Cut(); return p.Ping(bg) != nil })
		presented.Store(next.issue(t, time.Now().Add(time.Hour), "client"))
		acked := p.Totals().Messages - p.Totals().Errors
		until(t, "writes again", func() bool { return p.Ping(bg) == nil && p.Totals().Messages-p.Totals().Errors > acked+100 })
	}
	ld.end()
	if a := p.Status().Attempt; a != 1 {
		t.Errorf("attempt %d, want the first still", a)
	}
	shutDown(t, b, p)
	counts := l.verify(t, b.Broker, topic)
	if counts.failed() > 0 {
		t.Errorf("%d writes failed, one as: %v", counts.failed(), l.failure())
	}
	t.Logf("CHECKED kafka certificate-rotates rotations=%d cuts=%d acknowledged=%d failed=%d duplicates=%d",
		rotations, proxy.Cuts(), counts.acked, counts.failed(), counts.duplicates)
}

// tlsListener is the settings of one that wants a certificate, with its own by a.
func tlsListener(t *testing.T, a *authority) []string {
	t.Helper()
	own := a.issue(t, time.Now().Add(time.Hour), "127.0.0.1")
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"listener.name.tls.ssl.client.auth=required",
		"listener.name.tls.ssl.keystore.type=PEM",
		"listener.name.tls.ssl.keystore.certificate.chain=" + inPEM("CERTIFICATE", own.Certificate[0]),
		"listener.name.tls.ssl.keystore.key=" + inPEM("PRIVATE KEY", key),
		"listener.name.tls.ssl.truststore.type=PEM",
	}
}

// trusts is the setting of the authority whose certificates are accepted.
func trusts(a *authority) string {
	return "listener.name.tls.ssl.truststore.certificates=" + inPEM("CERTIFICATE", a.cert.Raw)
}

// inPEM is one line, as a properties file wants it.
func inPEM(kind string, der []byte) string {
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: kind, Bytes: der})
	return strings.ReplaceAll(b.String(), "\n", `\n`)
}

// set changes a setting of the only node while it runs.
func set(t *testing.T, b *testbroker.Broker, setting string) {
	t.Helper()
	key, value, _ := strings.Cut(setting, "=")
	value = strings.ReplaceAll(value, `\n`, "\n")
	change := kmsg.NewIncrementalAlterConfigsRequestResource()
	change.ResourceType, change.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = key, &value
	change.Configs = append(change.Configs, config)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, change)
	cl := b.Client(t)
	defer cl.Close()
	res, err := req.RequestWith(bg, cl)
	if err == nil {
		err = kerr.ErrorForCode(res.Resources[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
}
