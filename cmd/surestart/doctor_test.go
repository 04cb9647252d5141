package main

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// aclOn allows an operation on a topic.
func aclOn(topic string, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
}

// doctorFailures returns the lines of the parts that failed, with the two lines that follow each.
func doctorFailures(out string) (failures [][3]string) {
	lines := strings.Split(out+"\n\n", "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "FAIL") {
			failures = append(failures, [3]string{line, lines[i+1], lines[i+2]})
		}
	}
	return failures
}

// Each part that fails gives one line, with its likely cause and the field to check.
func TestDoctorNamesTheCause(t *testing.T) {
	web := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(web.Close)
	plainWeb := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plainWeb.Close)
	ca := file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})))
	server := &tls.Config{Certificates: web.TLS.Certificates}
	mutual := server.Clone()
	mutual.ClientAuth = tls.RequireAnyClientCert
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nothing answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })

	plain := broker(t, "lines")
	secure := broker(t, "lines", kfake.TLS(server))
	login := broker(t, "lines", kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "other"),
		kfake.Superuser("PLAIN", "admin", "pw"),
		kfake.User("PLAIN", "reader", "pw", aclOn("lines", kmsg.ACLOperationDescribe)),
		kfake.User("PLAIN", "stranger", "pw"),
		kfake.User("PLAIN", "writer", "pw", aclOn("lines", kmsg.ACLOperationDescribe), aclOn("other", kmsg.ACLOperationWrite)))
	as := func(user string) []string { return []string{"-sasl", "plain", "-user", user} }
	onTLS := []string{"-tls-ca", ca}

	for name, c := range map[string]struct {
		at, topic          string
		args               []string
		part, cause, field string // of the only failure; empty: all is well
	}{
		"all well":               {plain, "lines", nil, "", "", ""},
		"all well, TLS":          {secure, "lines", onTLS, "", "", ""},
		"all well, login":        {login, "lines", as("admin"), "", "", ""},
		"no topic":               {plain, "", nil, "", "", ""},
		"wrong host name":        {"no-such-host.invalid:9092", "lines", nil, "name", "host name", "Brokers (here: -brokers)"},
		"closed port":            {"127.0.0.1:1", "lines", nil, "connection", "nothing listens", "Brokers (here: -brokers)"},
		"TLS against plain":      {plain, "lines", []string{"-tls", "-timeout", "1s"}, "TLS", "TLS", "TLS (here: -tls)"},
		"plain against TLS":      {secure, "lines", nil, "login", "this listener speaks TLS", "TLS (here: -tls)"},
		"unknown authority":      {secure, "lines", []string{"-tls"}, "TLS", "does not trust", "TLS.RootCAs (here: -tls-ca)"},
		"other server name":      {secure, "lines", append([]string{"-tls-server-name", "kafka.invalid"}, onTLS...), "TLS", "other names", "TLS.ServerName"},
		"no client certificate":  {broker(t, "lines", kfake.TLS(mutual)), "lines", onTLS, "login", "certificate of the client", "TLS.Certificates"},
		"wrong password":         {login, "lines", as("admin"), "login", "password is wrong", "SASL"},
		"other mechanism":        {login, "lines", []string{"-sasl", "scram-sha-256", "-user", "admin"}, "login", "closed the connection during the login", "SASL"},
		"no login":               {login, "lines", nil, "login", "may want a login", "SASL"},
		"unknown topic":          {plain, "absent", nil, "topic", "does not exist", "Topic (here: -topic)"},
		"no write permission":    {login, "lines", as("writer"), "permission", "may not write", "SASL"},
		"no describe permission": {login, "lines", as("stranger"), "topic", "may not describe the topic", "SASL"},
		"no idempotence":         {login, "lines", as("reader"), "producer id", "may write to no topic", "Idempotence"},
		"an HTTP port":           {plainWeb.Listener.Addr().String(), "lines", []string{"-timeout", "1s"}, "login", "HTTP server answers", "Brokers (here: -brokers)"},
		"an HTTP port, with TLS": {plainWeb.Listener.Addr().String(), "lines", []string{"-tls"}, "TLS", "HTTP server answers", "Brokers (here: -brokers)"},
		"silence":                {silent.Addr().String(), "lines", []string{"-timeout", "200ms"}, "login", "no answer in time", "Brokers (here: -brokers)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			password := "pw"
			if name == "wrong password" {
				password = "not-the-password"
			}
			args := append([]string{"doctor", "-brokers", c.at, "-topic", c.topic}, c.args...)
			r := callWith(t, "", map[string]string{passwordVariable: password}, args...)
			failures := doctorFailures(r.out)
			if r.err != "" || strings.Contains(r.out, "not-the-password") {
				t.Errorf("standard error: %q\n%s", r.err, r.out)
			}
			if c.part == "" {
				if r.status != exitOK || failures != nil || !strings.Contains(r.out, "starts.") {
					t.Errorf("status %d:\n%s", r.status, r.out)
				}
				return
			}
			if r.status != exitFail || failures == nil {
				t.Fatalf("status %d:\n%s", r.status, r.out)
			}
			f := failures[0]
			if !strings.HasPrefix(f[0], "FAIL  "+c.part+" ") || !strings.Contains(f[1], c.cause) || !strings.Contains(f[2], "producer.Config."+c.field) {
				t.Errorf("want %s, %q, %s:\n%s", c.part, c.cause, c.field, r.out)
			}
			if len(failures) != 1 {
				t.Errorf("%d failures:\n%s", len(failures), r.out)
			}
		})
	}
	if r := call(t, "", "doctor", "-brokers", plain, "-timeout", "0"); r.status != exitUsage {
		t.Errorf("%+v", r)
	}
}

// A broker that the cluster advertises and that cannot be reached is a failure of its own.
func TestDoctorChecksAdvertisedBrokers(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(1, "lines"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		for i, at := range c.ListenAddrs() {
			host, port, _ := net.SplitHostPort(at)
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID, b.Host, b.Port = int32(i), host, int32(1)
			if i == 0 {
				n, _ := net.LookupPort("tcp", port)
				b.Port = int32(n)
			}
			res.Brokers = append(res.Brokers, b)
		}
		return res, nil, true
	})
	r := call(t, "", "doctor", "-brokers", c.ListenAddrs()[0])
	f := doctorFailures(r.out)
	if r.status != exitFail || len(f) != 1 || !strings.Contains(f[0][0], "127.0.0.1:1") || !strings.Contains(f[0][1], "advertised.listeners") || strings.Contains(f[0][2], "Config") {
		t.Errorf("status %d:\n%s", r.status, r.out)
	}
}

// A missing permission is followed by the commands that grant it.
func TestDoctorNamesTheGrant(t *testing.T) {
	at := broker(t, "lines", kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "other"),
		kfake.User("PLAIN", "o'neil", "pw"),
		kfake.User("PLAIN", "reader", "pw", aclOn("lines", kmsg.ACLOperationDescribe)),
		kfake.User("PLAIN", "writer", "pw", aclOn("lines", kmsg.ACLOperationDescribe), aclOn("other", kmsg.ACLOperationWrite)))
	command := "kafka-acls --bootstrap-server " + at + " --add --allow-principal "
	for _, c := range []struct {
		user, topics string
		want         []string
	}{
		{"writer", "lines,other", []string{command + "User:writer --operation Write --topic lines --topic other"}},
		{"reader", "lines", []string{command + "User:reader --operation Write --topic lines",
			command + "User:reader --operation IdempotentWrite --cluster # before Kafka 3.0"}},
		{"o'neil", "lines", []string{command + `'User:o'\''neil' --operation Write --topic lines`}},
		{"writer", "other", nil},
	} {
		r := callWith(t, "", map[string]string{passwordVariable: "pw"}, "doctor", "-brokers", at, "-topic", c.topics, "-sasl", "plain", "-user", c.user)
		if got := grantsOf(r.out); !slices.Equal(got, c.want) {
			t.Errorf("%s to %s: want %q:\n%s%s", c.user, c.topics, c.want, r.out, r.err)
		}
	}
}

// grantsOf returns the commands that doctor prints.
func grantsOf(out string) (commands []string) {
	for line := range strings.Lines(out) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "grant:"); ok {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}
