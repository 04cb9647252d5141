// Package browser shows tests what a person sees: it opens a page in a headless
// Chromium, presses keys, takes a picture, and keeps every error that the page
// made. It talks Chromium's DevTools protocol, over a pipe, so that no port is open.
package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Browser is a running Chromium. Neither it nor its pages are for concurrent use.
type Browser struct {
	t     testing.TB
	in    io.WriteCloser
	out   *bufio.Reader
	last  int              // number of the last command
	pages map[string]*Page // by session
	wait  func()           // until it has ended
	said  *bytes.Buffer    // Chromium's own messages, to be read then
}

// Start starts the Chromium that SURESTART_CHROMIUM names, and ends it with the
// test. Where the variable is not set the test is skipped, or fails if nothing may be.
func Start(t testing.TB) *Browser {
	t.Helper()
	program := os.Getenv("SURESTART_CHROMIUM")
	if program == "" {
		const missing = "a Chromium, named by SURESTART_CHROMIUM (.ci/tools.sh chromium prints one)"
		if os.Getenv("SURESTART_NO_SKIP") == "1" {
			t.Fatalf("missing, and SURESTART_NO_SKIP is set: %s", missing)
		}
		t.Skipf("needs %s", missing)
	}
	commands, in, err := os.Pipe()
	check(t, err)
	out, answers, err := os.Pipe()
	check(t, err)
	profile, err := os.MkdirTemp("", "surestart-browser")
	check(t, err)
	b := &Browser{t: t, in: in, out: bufio.NewReader(out), pages: map[string]*Page{}, said: new(bytes.Buffer)}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{commands, answers}     // its 3 and 4
	cmd.Stderr, cmd.WaitDelay = b.said, 10*time.Second // no helper process holds it up for longer
	b.wait = sync.OnceFunc(func() { cmd.Wait() })
	err = cmd.Start()
	commands.Close()
	answers.Close()
	check(t, err)
	t.Cleanup(func() { // it ends when it is told to, and when nobody can tell it any more
		b.send("", "Browser.close", nil)
		in.Close()
		io.Copy(io.Discard, b.out)
		out.Close()
		b.wait()
		os.RemoveAll(profile) // a helper process may still write; what is left is in the temporary directory
	})
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// message is a command, its answer, or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

func (b *Browser) send(session, method string, params any) int {
	b.last++
	text, err := json.Marshal(message{ID: b.last, Session: session, Method: method, Params: params})
	check(b.t, err)
	b.in.Write(append(text, 0)) // a failure is seen by who waits for the answer
	return b.last
}

// receive reads one message; what it tells of a page is put down there.
func (b *Browser) receive() message {
	b.t.Helper()
	text, err := b.out.ReadBytes(0)
	if err != nil {
		b.wait()
		b.t.Fatalf("Chromium ended: %v\n%s", err, b.said)
	}
	var params json.RawMessage
	m := message{Params: &params}
	check(b.t, json.Unmarshal(bytes.TrimRight(text, "\x00"), &m))
	if p := b.pages[m.Session]; p != nil {
		p.event(m.Method, params)
	}
	return m
}

// call sends a command and waits for its answer.
func (b *Browser) call(session, method string, params, result any) {
	b.t.Helper()
	id := b.send(session, method, params)
	for {
		m := b.receive()
		if m.ID != id {
			continue
		}
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			check(b.t, json.Unmarshal(m.Result, result))
		}
		return
	}
}

// A Page is one that has been loaded.
type Page struct {
	b       *Browser
	session string
	url     string
	loaded  bool
	wrong   []string
}

type args map[string]any

// Open loads a file into a window of some size, and returns once it has been loaded.
func (b *Browser) Open(file string, width, height int) *Page {
	b.t.Helper()
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", args{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", args{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &Page{b: b, session: attached.SessionID, url: (&url.URL{Scheme: "file", Path: file}).String()}
	b.pages[p.session] = p
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	p.call("Emulation.setDeviceMetricsOverride", args{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.call("Page.navigate", args{"url": p.url}, nil)
	for !p.loaded {
		b.receive()
	}
	return p
}

func (p *Page) call(method string, params, result any) {
	p.b.t.Helper()
	p.b.call(p.session, method, params, result)
}

// event puts down what a page must not do, and that it has been loaded.
func (p *Page) event(method string, params json.RawMessage) {
	var e struct {
		Type             string
		Args             []struct{ Description, Value any }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		Entry   struct{ Level, Text, URL string }
		Request struct{ URL string }
	}
	switch method {
	case "Page.loadEventFired":
		p.loaded = true
		return
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent":
	default:
		return
	}
	check(p.b.t, json.Unmarshal(params, &e))
	switch {
	case method == "Runtime.consoleAPICalled" && (e.Type == "error" || e.Type == "warning" || e.Type == "assert"):
		p.wrong = append(p.wrong, fmt.Sprintf("console.%s: %v", e.Type, e.Args))
	case method == "Runtime.exceptionThrown":
		p.wrong = append(p.wrong, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case method == "Log.entryAdded" && (e.Entry.Level == "error" || e.Entry.Level == "warning"):
		p.wrong = append(p.wrong, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case method == "Network.requestWillBeSent" && !strings.HasPrefix(e.Request.URL, p.url):
		p.wrong = append(p.wrong, "it asks for "+e.Request.URL)
	}
}

// Wrong is what the page did that none of ours may: an uncaught exception, an error or
// a warning on the console, a request for anything but itself.
func (p *Page) Wrong() []string {
	p.b.t.Helper()
	p.Eval("0", nil) // what happened before is told before this is answered
	return p.wrong
}

// Eval evaluates an expression of JavaScript and reads its value, or waits for its promise's.
func (p *Page) Eval(expression string, into any) {
	p.b.t.Helper()
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	p.call("Runtime.evaluate", args{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got)
	if got.ExceptionDetails != nil {
		p.b.t.Fatalf("%s: %s", expression, got.ExceptionDetails.Exception.Description)
	}
	if into != nil {
		check(p.b.t, json.Unmarshal(got.Result.Value, into))
	}
}

// Press presses keys, by their names in a KeyboardEvent, and lets go of them.
func (p *Page) Press(keys ...string) {
	p.b.t.Helper()
	for _, key := range keys {
		for _, what := range []string{"keyDown", "keyUp"} {
			p.call("Input.dispatchKeyEvent", args{"type": what, "key": key}, nil)
		}
	}
}

// Click clicks on the middle of the first element that a selector finds.
func (p *Page) Click(selector string) {
	p.b.t.Helper()
	boxes := p.Boxes(selector)
	if len(boxes) == 0 {
		p.b.t.Fatalf("there is no %s to click on", selector)
	}
	at := boxes[0].Rect
	for _, what := range []string{"mousePressed", "mouseReleased"} {
		p.call("Input.dispatchMouseEvent", args{"type": what, "button": "left", "clickCount": 1,
			"x": (at.Min.X + at.Max.X) / 2, "y": (at.Min.Y + at.Max.Y) / 2}, nil)
	}
}

// Picture is what the window shows.
func (p *Page) Picture() image.Image {
	p.b.t.Helper()
	var shot struct{ Data []byte }
	p.call("Page.captureScreenshot", args{"format": "png"}, &shot)
	img, err := png.Decode(bytes.NewReader(shot.Data))
	check(p.b.t, err)
	return img
}
