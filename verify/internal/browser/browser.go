// Package browser lets tests look at a page as a person sees it. It opens the page in a headless
// Chromium, which chromedp drives, examines a screenshot, and keeps every error of the page.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A Browser is a running Chromium.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Start starts the Chromium that SURESTART_CHROMIUM names, and stops it when the test ends. Without
// the variable, it skips the test, or fails it with SURESTART_NO_SKIP.
func Start(t testing.TB) *Browser {
	t.Helper()
	program := os.Getenv("SURESTART_CHROMIUM")
	if program == "" {
		const missing = "a Chromium, named by SURESTART_CHROMIUM (./check tools chromium prints one)"
		if os.Getenv("SURESTART_NO_SKIP") == "1" {
			t.Fatalf("missing, and SURESTART_NO_SKIP is set: %s", missing)
		}
		t.Skipf("needs %s", missing)
	}
	ctx, cancel := chromedp.NewContext(t.Context(), chromedp.WithAllocatorOptions(chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU))
	t.Cleanup(cancel)
	check(t, chromedp.Do(ctx))
	return &Browser{t, ctx}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A Page is a loaded page. It is not for concurrent use.
type Page struct {
	t     testing.TB
	ctx   context.Context
	url   string
	mu    sync.Mutex
	wrong []string
}

// Open loads a file into a window of the given size, and returns when the page is loaded.
func (b *Browser) Open(file string, width, height int64) *Page {
	b.t.Helper()
	p := &Page{t: b.t, url: (&url.URL{Scheme: "file", Path: file}).String()}
	var cancel func()
	p.ctx, cancel = chromedp.NewContext(b.ctx, chromedp.WithListener(p.event))
	b.t.Cleanup(cancel)
	check(b.t, chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height), chromedp.Navigate(p.url)))
	return p
}

// event records what a page must not do.
func (p *Page) event(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			text, _ := json.Marshal(e.Args)
			p.wrong = append(p.wrong, fmt.Sprintf("console.%s: %s", e.Type, text))
		}
	case *runtime.EventExceptionThrown:
		p.wrong = append(p.wrong, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.wrong = append(p.wrong, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, p.url) {
			p.wrong = append(p.wrong, "it asks for "+e.Request.URL)
		}
	}
}

// Wrong returns the events that none of our pages may cause: an uncaught exception, an error or a
// warning on the console, a request for another resource.
//
// Chromium reports a rejected promise without a handler in a task of its own, after the script, the
// load or the key. Wrong therefore rejects one more promise: when Chromium reports it, all earlier
// ones have been reported.
func (p *Page) Wrong() []string {
	p.t.Helper()
	p.Eval(`new Promise(told => {
		const last = new Error("the last one");
		addEventListener("unhandledrejection", event => {
			if (event.reason !== last) return;
			event.preventDefault();
			event.stopImmediatePropagation();
			told();
		}, true);
		Promise.reject(last);
	})`, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wrong)
}

// run gives an action one minute. An action that waits for something that never appears fails the
// test.
func run[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	check(p.t, err)
	return result
}

// Do performs a person's actions: keys and clicks.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	run(p, chromedp.Steps(actions...))
}

// Eval evaluates an expression of JavaScript and reads its value, or waits for its promise's.
func (p *Page) Eval(expression string, into any) {
	p.t.Helper()
	value := run(p, chromedp.Evaluate[[]byte](expression, chromedp.EvalAwaitPromise))
	if into != nil {
		check(p.t, json.Unmarshal(value, into))
	}
}
