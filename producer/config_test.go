package producer

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/resilience"
)

// fields has an entry for each field of Config: values that New must refuse,
// naming the field and what would be right, or why there is none.
var fields = map[string]struct {
	bad  []func(*Config)
	free string // why every value is fine
}{
	"Brokers": {bad: []func(*Config){
		func(c *Config) { c.Brokers = nil },
		func(c *Config) { c.Brokers = []string{"localhost"} },
		func(c *Config) { c.Brokers = []string{"localhost:70000"} },
		func(c *Config) { c.Brokers = []string{"localhost:0"} },
		func(c *Config) { c.Brokers = []string{"localhost:9092", "localhost:http"} },
		func(c *Config) { c.Brokers = []string{":9092"} },
		func(c *Config) { c.Brokers = []string{"tcp://localhost:9092"} },
		func(c *Config) { c.Brokers = []string{"a:9092,b:9092"} },
		func(c *Config) { c.Brokers = []string{"a:9092 "} },
	}},
	"ClientID": {bad: []func(*Config){
		func(c *Config) { c.ClientID = "\xff" },
		func(c *Config) { c.ClientID = strings.Repeat("x", 40000) },
	}},
	"Topic": {bad: []func(*Config){
		func(c *Config) { c.Topic = "" },
		func(c *Config) { c.Topic = "no spaces" },
		func(c *Config) { c.Topic = ".." },
		func(c *Config) { c.Topic = strings.Repeat("x", 250) },
	}},
	"Topics":   {bad: []func(*Config){func(c *Config) { c.Topics = []string{"good", "bad/topic"} }, func(c *Config) { c.Topics = []string{""} }}},
	"AnyTopic": {free: "a switch"},
	"TLS": {bad: []func(*Config){
		func(c *Config) { c.TLS = &tls.Config{MinVersion: tls.VersionTLS10} },
		func(c *Config) { c.TLS = &tls.Config{MaxVersion: tls.VersionTLS11} },
	}},
	"SASL": {bad: []func(*Config){
		func(c *Config) { c.Brokers, c.SASL = []string{"kafka.example.org:9092"}, plain.Mechanism{} },
		func(c *Config) { c.Brokers, c.SASL = []string{"kafka.example.org:9092"}, PlainFrom(nobody) },
		func(c *Config) { c.SASL = (*plain.Mechanism)(nil) },
		func(c *Config) { c.SASL = PlainFrom(nil) },
		func(c *Config) { c.SASL = ScramFrom(scram.SHA256, nil) },
		func(c *Config) { c.SASL = ScramFrom(nil, nobody) },
	}},
	"AllowPlaintextPassword": {free: "a switch"},
	"Dial":                   {free: "nil is the default"},
	"Acks":                   {bad: []func(*Config){func(c *Config) { c.Acks = 3 }, func(c *Config) { c.Acks = -1 }}},
	"Idempotence": {bad: []func(*Config){
		func(c *Config) { c.Idempotence = 3 },
		func(c *Config) { c.Idempotence = -1 },
		func(c *Config) { c.Idempotence, c.Acks = IdempotenceOn, AcksOne },
		func(c *Config) { c.Idempotence, c.Acks = IdempotenceOn, AcksNone },
	}},
	"Linger":                 {bad: []func(*Config){func(c *Config) { c.Linger = -1 }, func(c *Config) { c.Linger = time.Minute }}},
	"BatchSize":              {bad: []func(*Config){func(c *Config) { c.BatchSize = -1 }}},
	"BatchBytes":             {bad: []func(*Config){func(c *Config) { c.BatchBytes = -1 }, func(c *Config) { c.BatchBytes = 1 << 31 }}},
	"MaxInFlightBytes":       {bad: []func(*Config){func(c *Config) { c.MaxInFlightBytes = -1 }}},
	"MaxAttempts":            {bad: []func(*Config){func(c *Config) { c.MaxAttempts = -1 }}},
	"Compression":            {bad: []func(*Config){func(c *Config) { c.Compression = 99 }, func(c *Config) { c.Compression = -1 }}},
	"Balancer":               {bad: []func(*Config){func(c *Config) { c.Balancer = (*kafka.Hash)(nil) }}},
	"ConnectionsPerBroker":   {bad: []func(*Config){func(c *Config) { c.ConnectionsPerBroker = -1 }, func(c *Config) { c.ConnectionsPerBroker = 101 }}},
	"DialTimeout":            {bad: badTimes(func(c *Config) *time.Duration { return &c.DialTimeout })},
	"ReadTimeout":            {bad: badTimes(func(c *Config) *time.Duration { return &c.ReadTimeout })},
	"WriteTimeout":           {bad: badTimes(func(c *Config) *time.Duration { return &c.WriteTimeout })},
	"DeliveryTimeout":        {bad: badTimes(func(c *Config) *time.Duration { return &c.DeliveryTimeout })},
	"IdleTimeout":            {bad: badTimes(func(c *Config) *time.Duration { return &c.IdleTimeout })},
	"StartTimeout":           {bad: badTimes(func(c *Config) *time.Duration { return &c.StartTimeout })},
	"StopTimeout":            {bad: badTimes(func(c *Config) *time.Duration { return &c.StopTimeout })},
	"AllowPartial":           {free: "a switch"},
	"CheckWritePermission":   {free: "a switch"},
	"StartOnWrite":           {free: "a switch"},
	"AllowAutoTopicCreation": {free: "a switch"},
	"Retry":                  {bad: []func(*Config){func(c *Config) { c.Retry = (*resilience.Retry)(nil) }}},
	"Breaker":                {bad: []func(*Config){func(c *Config) { c.Breaker = (*resilience.Breaker)(nil) }}},
	"Completion":             {free: "nil is the default"},
	"Logger":                 {free: "nil is the default"},
	"Lifecycle":              {bad: []func(*Config){func(c *Config) { c.Lifecycle = []fsm.Option{nil} }}},
	"record":                 {free: "a test's: see package record"},
}

func nobody(context.Context) (user, password string, err error) { return "", "", nil }

func badTimes(field func(*Config) *time.Duration) []func(*Config) {
	return []func(*Config){
		func(c *Config) { *field(c) = -time.Second },
		func(c *Config) { *field(c) = 10 }, // nanoseconds: seconds were meant
	}
}

func TestEveryFieldIsValidated(t *testing.T) {
	config := reflect.TypeFor[Config]()
	for i := range config.NumField() {
		name := config.Field(i).Name
		field, ok := fields[name]
		if !ok || len(field.bad) == 0 == (field.free == "") {
			t.Errorf("Config.%s: the test has no bad values for it, nor says why every value is fine", name)
		}
		for j, spoil := range field.bad {
			c := Config{Brokers: []string{"localhost:9092"}, Topic: "t"}
			spoil(&c)
			p, err := New(c)
			if err == nil || p != nil {
				t.Errorf("Config.%s, bad value %d: New accepted %v", name, j, c)
				continue
			}
			if !strings.Contains(err.Error(), "Config."+name) || !strings.Contains(err.Error(), "want ") {
				t.Errorf("Config.%s, bad value %d: %q does not name the field and what would be right", name, j, err)
			}
			if strings.Count(err.Error(), "want ") != 1 {
				t.Errorf("Config.%s, bad value %d: %q complains of more than that", name, j, err)
			}
		}
	}
	if len(fields) != config.NumField() {
		t.Errorf("the test knows %d fields, Config has %d", len(fields), config.NumField())
	}
}

// A field that the code never reads would be an option that is silently ignored.
func TestEveryFieldIsUsed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	used := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "config.go" || name == "validate.go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch x := sel.X.(type) {
			case *ast.Ident: // cfg.Field, c.Field
				if x.Name == "cfg" || x.Name == "c" {
					used[sel.Sel.Name] = true
				}
			case *ast.SelectorExpr: // s.cfg.Field
				if x.Sel.Name == "cfg" {
					used[sel.Sel.Name] = true
				}
			}
			return true
		})
	}
	elsewhere := map[string]string{
		"Topics":                 "declared, which New asks",
		"AllowPlaintextPassword": "plaintextPassword, which the dialer asks",
	}
	config := reflect.TypeFor[Config]()
	for i := range config.NumField() {
		if name := config.Field(i).Name; !used[name] && elsewhere[name] == "" {
			t.Errorf("Config.%s is read nowhere but in config.go and validate.go", name)
		}
	}
}

func TestNewTellsAllThatIsWrong(t *testing.T) {
	_, err := New(Config{BatchSize: -1, Compression: 99})
	for _, field := range []string{"Brokers", "Topic", "BatchSize", "Compression"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestDefaults(t *testing.T) {
	c := Config{Brokers: []string{"localhost:9092"}, Topic: "t"}.withDefaults()
	for name, got := range map[string][2]any{
		"Acks":             {c.Acks.required(), kafka.RequireAll},
		"DeliveryTimeout":  {c.DeliveryTimeout, 30 * time.Second},
		"StartTimeout":     {c.StartTimeout, 30 * time.Second},
		"StopTimeout":      {c.StopTimeout, 20 * time.Second},
		"IdleTimeout":      {c.IdleTimeout, 9 * time.Minute},
		"MaxInFlightBytes": {c.MaxInFlightBytes, int64(64 << 20)},
		"Linger":           {c.Linger, time.Duration(0)},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, want %v", name, got[0], got[1])
		}
	}
	if AcksOne.required() != kafka.RequireOne || AcksNone.required() != kafka.RequireNone {
		t.Error("acks")
	}
}

// A Config belongs to the caller again when New has returned.
func TestConfigIsCopied(t *testing.T) {
	c := Config{Brokers: []string{"localhost:9092"}, Topics: []string{"a"}, TLS: &tls.Config{ServerName: "x"}}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Brokers[0], c.Topics[0], c.TLS.ServerName = "elsewhere:1", "b", "y"
	if p.cfg.Brokers[0] != "localhost:9092" || p.cfg.Topics[0] != "a" || p.cfg.TLS.ServerName != "x" {
		t.Errorf("the producer's configuration changed with the caller's: %v", p.cfg)
	}
}

// PLAIN without TLS shows the password to the network. It works only if the Config names it, and
// only on this machine, also if another broker advertises the address.
func TestPlaintextPassword(t *testing.T) {
	secret := plain.Mechanism{Username: "u", Password: "secret-pass"}
	for _, c := range []struct {
		brokers []string
		change  func(*Config)
		ok      bool
	}{
		{[]string{"localhost:9092", "127.0.0.1:9092", "[::1]:9092"}, func(*Config) {}, true},
		{[]string{"localhost:9092", "10.0.0.1:9092"}, func(*Config) {}, false},
		{[]string{"localhost.example.org:9092"}, func(*Config) {}, false},
		{[]string{"10.0.0.1:9092"}, func(c *Config) { c.AllowPlaintextPassword = true }, true},
		{[]string{"10.0.0.1:9092"}, func(c *Config) { c.TLS = &tls.Config{} }, true},
		{[]string{"10.0.0.1:9092"}, func(c *Config) { c.SASL = PlainFrom(nobody) }, false},
		{[]string{"10.0.0.1:9092"}, func(c *Config) { c.SASL = bearer{} }, false},
		{[]string{"10.0.0.1:9092"}, func(c *Config) { c.SASL = scramLike{} }, true},
		{[]string{"10.0.0.1:9092"}, func(c *Config) { c.SASL = ScramFrom(scram.SHA512, nobody) }, true},
	} {
		cfg := Config{Brokers: c.brokers, Topic: "t", SASL: secret}
		c.change(&cfg)
		_, err := New(cfg)
		if (err == nil) != c.ok {
			t.Errorf("%v: %v", cfg, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret-pass") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

type scramLike struct{}

func (scramLike) Name() string { return "SCRAM-SHA-512" }
func (scramLike) Start(context.Context) (sasl.StateMachine, []byte, error) {
	return nil, nil, nil
}

// No secret in anything that is printed or logged.
func TestNoSecretIsPrinted(t *testing.T) {
	cfg := Config{
		Brokers: []string{"localhost:9092"}, Topic: "t",
		SASL: plain.Mechanism{Username: "user", Password: "secret-pass"},
		TLS:  &tls.Config{Certificates: []tls.Certificate{{PrivateKey: "secret-pass"}}},
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, v := range []any{cfg, &cfg, p, []Config{cfg}, struct{ C Config }{cfg}, p.cfg} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		log.Info("it", "value", v)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("it", "config", cfg, "producer", p)
	for _, secret := range []string{"secret-pass", fmt.Sprintf("%x", "secret-pass"), fmt.Sprint([]byte("secret-pass"))} {
		if i := strings.Index(strings.ToLower(out.String()), secret); i >= 0 {
			t.Errorf("the secret is shown: …%s", out.String()[max(0, i-80):i+20])
		}
	}
}
