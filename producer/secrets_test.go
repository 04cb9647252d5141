package producer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// An evidence gathers everything that is visible of a producer.
type evidence struct {
	mu  sync.Mutex
	out bytes.Buffer
	n   atomic.Int64
}

func (e *evidence) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.out.Write(b)
}

// show prints values in every way that is usual.
func (e *evidence) show(values ...any) {
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(e, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		fmt.Fprintln(e, string(text), err)
		slog.New(slog.NewTextHandler(e, nil)).Info("it", "v", v)
		slog.New(slog.NewJSONHandler(e, nil)).Info("it", "v", v)
		e.n.Add(1)
	}
}

// dig shows a value and every string in it, unexported ones too, as a debugger or a library that
// prints deeply would.
func (e *evidence) dig(values ...any) {
	e.show(values...)
	seen := make(map[uintptr]bool)
	var walk func(v reflect.Value, depth int)
	walk = func(v reflect.Value, depth int) {
		if depth > 30 {
			return
		}
		switch v.Kind() {
		case reflect.String:
			fmt.Fprintln(e, v.String())
		case reflect.Pointer:
			if !v.IsNil() && !seen[v.Pointer()] {
				seen[v.Pointer()] = true
				walk(v.Elem(), depth+1)
			}
		case reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem(), depth+1)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), depth+1)
			}
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
				fmt.Fprintf(e, "%s\n", v.Bytes())
				return
			}
			for i := range v.Len() {
				walk(v.Index(i), depth+1)
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				walk(k, depth+1)
				walk(v.MapIndex(k), depth+1)
			}
		}
	}
	for _, v := range values {
		if v != nil {
			walk(reflect.ValueOf(v), 0)
		}
	}
}

// find looks for a secret, as it is and as it may be encoded.
func (e *evidence) find(t *testing.T, secret string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.out.String()
	for _, s := range []string{
		secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
		base64.StdEncoding.EncodeToString([]byte(secret)), strings.Trim(fmt.Sprintf("%#v", []byte(secret)), "[]byte{}"),
	} {
		if i := strings.Index(out, s); i >= 0 {
			t.Errorf("the secret is shown: …%s…", out[max(0, i-200):min(len(out), i+len(s)+20)])
		}
	}
}

// Nothing that is printed, logged or returned has a secret: over starts that fail in every way that
// concerns secrets, starts that succeed, writes that fail while running, and stops.
func TestNoSecretIsShown(t *testing.T) {
	const secret = "correct-horse-battery"
	tell := func(password string) func(context.Context) (string, string, error) {
		return func(context.Context) (string, string, error) { return "user", password, nil }
	}
	mustScram := func(password string) sasl.Mechanism {
		m, err := scram.Mechanism(scram.SHA256, "user", password)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	key := &tls.Config{Certificates: []tls.Certificate{{PrivateKey: secret}}, InsecureSkipVerify: true}
	e := new(evidence)
	look := func(t *testing.T, b *testbroker.Broker, cfg Config, during func(p *Producer)) {
		cfg.Topic = "t"
		cfg.Logger = slog.New(slog.NewTextHandler(e, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
		cfg.Lifecycle = []fsm.Option{fsm.WithObserver(func(tr fsm.Transition) { e.dig(tr) })}
		p := newProducer(t, b, cfg)
		if a, ours := cfg.SASL.(*asked); ours {
			e.show(a)
		}
		e.show(cfg, &cfg, p, *p, []Config{cfg}, map[string]any{"p": p, "c": cfg})
		e.dig(p.Start(bg), p.Status())
		d, err := p.Send(bg, message("x"))
		e.dig(err, p.WriteMessages(bg, message("y")), p.Ping(bg), p.Stats(), p.Totals())
		if d != nil {
			d.Wait(bg)
			e.show(d)
			e.dig(d.Err())
		}
		if during != nil {
			during(p)
		}
		ctx, cancel := context.WithCancel(bg)
		cancel()
		e.dig(p.Stop(ctx), p.Status(), p.Close(), p.Status())
		e.show(p)
	}
	synctest.Test(t, func(t *testing.T) {
		var plainWrong, unsealed bool
		b := testbroker.Virtual(t, kfake.EnableSASL(), kfake.SeedTopics(1, "t"),
			kfake.Superuser("PLAIN", "user", secret), kfake.Superuser("SCRAM-SHA-256", "user", secret))
		b.Fake.ControlKey(kmsg.SASLAuthenticate.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			b.Fake.KeepControl()
			if !plainWrong {
				return nil, nil, false
			}
			res := kreq.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			res.ErrorCode, res.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("Authentication failed")
			return res, nil, true
		})
		short := Config{StartTimeout: 2 * time.Second, DialTimeout: time.Second, DeliveryTimeout: 2 * time.Second, ReadTimeout: time.Second}
		with := func(m sasl.Mechanism) Config {
			c := short
			c.SASL = m
			return c
		}
		sealed := func(context.Context) (string, string, error) {
			if unsealed {
				return "user", secret, nil
			}
			return "user", secret, errors.New("the vault is sealed")
		}
		mechanisms := []sasl.Mechanism{
			plain.Mechanism{Username: "user", Password: secret}, &plain.Mechanism{Username: "user", Password: secret}, mustScram(secret),
			PlainFrom(tell(secret)), ScramFrom(scram.SHA256, tell(secret)), bearer{func() string { return secret }}, PlainFrom(sealed),
			ScramFrom(scram.SHA256, tell(secret+"\u0007")), // not fit: SASLprep would say why
		}
		for _, m := range mechanisms {
			look(t, b, with(m), nil)
			plainWrong = true // refused, with code and text
			look(t, b, with(m), nil)
			plainWrong = false
			hung := b.Hang(kmsg.SASLAuthenticate)
			look(t, b, with(m), nil)
			hung.Set(false)
			// While it runs: refused, and cut.
			look(t, b, with(m), func(p *Producer) {
				plainWrong = true
				b.Net.Cut()
				e.dig(p.WriteMessages(bg, message("x")), p.Ping(bg))
				plainWrong = false
			})
			c := with(m)
			c.TLS = key
			look(t, b, c, nil) // TLS to a plaintext port
			c.Brokers = []string{"kafka.example.org:9092"}
			_, err := New(c)
			e.dig(err)
			c.TLS = nil
			_, err = New(c)
			e.dig(err)
		}
		for _, wrong := range []sasl.Mechanism{mustScram("not the right one"), PlainFrom(tell("not the right one"))} {
			look(t, b, with(wrong), nil)
		}
	})
	e.find(t, secret)
	e.find(t, "not the right one")
	if e.n.Load() < 500 || !strings.Contains(e.out.String(), "SASL Authentication Failed") {
		t.Errorf("only %d values were shown, of %d bytes", e.n.Load(), e.out.Len())
	}
	t.Logf("CHECKED producer-secrets values=%d bytes=%d", e.n.Load(), e.out.Len())
}
