package oip

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"
	"gonum.org/v1/gonum/mat"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// rest speaks the protocol over REST: JSON with numbers that round-trip exactly.
type rest struct {
	*backend
	base   *url.URL // .../v2/models/MODEL[/versions/VERSION]
	client *retryablehttp.Client
}

func newREST(b *backend, address *url.URL) *rest {
	path := []string{"v2", "models", url.PathEscape(b.model)}
	if strings.HasSuffix(strings.TrimRight(address.Path, "/"), "/v2") {
		path = path[1:]
	}
	if b.modelVersion != "" {
		path = append(path, "versions", url.PathEscape(b.modelVersion))
	}
	r := &rest{backend: b, base: address.JoinPath(path...)}
	b.address = r.base.String()
	transport := cleanhttp.DefaultPooledTransport()
	transport.TLSClientConfig = b.security.tls
	transport.DialContext = dialer(transport.DialContext)
	// Several queries may be in flight: their connections are worth keeping.
	transport.MaxIdleConnsPerHost = 32
	r.client = retryablehttp.NewClient()
	r.client.HTTPClient = &http.Client{
		Transport: transport,
		Timeout:   b.timeout,
		// A redirected POST may lose its body or its method; the user had better give the right address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r.client.RetryMax, r.client.RetryWaitMin, r.client.RetryWaitMax = b.retries, firstPause, retryPause
	r.client.CheckRetry = retry
	r.client.Backoff = func(low, high time.Duration, attempt int, response *http.Response) time.Duration {
		return min(retryablehttp.DefaultBackoff(low, high, attempt, response), high) // Retry-After included
	}
	r.client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	r.client.Logger = nil // the library's own lines name neither the model nor the remedy
	r.client.RequestLogHook = func(_ retryablehttp.Logger, _ *http.Request, attempt int) {
		if attempt > 0 {
			b.logRepetition(attempt)
		}
	}
	return r
}

func (r *rest) close() error {
	r.client.HTTPClient.CloseIdleConnections()
	return nil
}

func (r *rest) metadata(ctx context.Context) (*metadata, error) {
	body, status, err := r.do(ctx, http.MethodGet, "", nil, metadataLimit)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, r.refused(status, body)
	}
	m, err := decodeMetadata(body)
	if err != nil {
		return nil, r.fault("its metadata is %w", err)
	}
	return m, nil
}

func (r *rest) infer(ctx context.Context, t *tensors, x *mat.Dense, shape []int) (*answer, error) {
	request, err := encode(t, x, shape)
	if err != nil {
		return nil, fault.New(fault.Usage, "%s cannot be asked: %w", r, err)
	}
	body, status, err := r.do(ctx, http.MethodPost, "infer", request, answerLimit)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, r.refused(status, body)
	}
	rows, _ := x.Dims()
	a, err := decodeAnswer(body, t.outputs, rows)
	if err != nil {
		return nil, r.fault("its answer to %d rows %w", rows, err)
	}
	return a, nil
}

// retry says whether to ask again: when the connection was refused, or broke before the answer, or the server says
// that it could not take the request for the moment. Timeouts are not repeated: the server is likely still at work.
func retry(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return false, err
		}
		if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTemporary {
			return false, err
		}
		if _, ok := errors.AsType[*net.OpError](err); ok {
			var verification *tls.CertificateVerificationError
			return !errors.As(err, &verification), nil
		}
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// do makes one request, with repetitions, and reads the answer up to limit bytes. An answer that breaks off is as good as none.
func (r *rest) do(ctx context.Context, method, path string, content []byte, limit int64) ([]byte, int, error) {
	for attempt := 0; ; attempt++ {
		body, status, err := r.once(ctx, method, path, content, limit)
		if _, broken := errors.AsType[brokenOffError](err); !broken || attempt == r.retries || ctx.Err() != nil {
			return body, status, err
		}
		r.logRepetition(attempt + 1)
		if err := pause(ctx, attempt); err != nil {
			return nil, 0, err
		}
	}
}

// brokenOffError says that the connection was lost within an answer.
type brokenOffError struct{ error }

func (e brokenOffError) Unwrap() error { return e.error }

// once is do without repetitions of answers that break off.
func (r *rest) once(ctx context.Context, method, path string, content []byte, limit int64) ([]byte, int, error) {
	target := r.base
	if path != "" {
		target = r.base.JoinPath(path)
	}
	var raw any
	if content != nil {
		raw = content
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, method, target.String(), raw)
	if err != nil {
		return nil, 0, r.fault("the request cannot be made: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.security.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.security.token)
	}
	response, err := r.client.Do(request)
	if err != nil {
		if response != nil {
			_ = response.Body.Close()
		}
		return nil, 0, r.unreachable(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return nil, 0, r.fault("it redirects to %s: give the address it redirects to in the option url", redirected(response))
	}
	if response.StatusCode != http.StatusOK {
		limit = errorLimit
	}
	body, err := readAll(response.Body, limit)
	if response.StatusCode != http.StatusOK {
		return body, response.StatusCode, nil // what there is of the body is only quoted
	}
	if errors.Is(err, errLimit) {
		return nil, 0, r.fault("its answer is longer than %d MiB, which no answer needs", limit>>20)
	}
	if err != nil {
		told := r.unreachable(ctx, err)
		if again, _ := retry(ctx, nil, err); again {
			told = brokenOffError{told}
		}
		return nil, 0, told
	}
	return body, response.StatusCode, nil
}

// unreachable says why there is no answer.
func (r *rest) unreachable(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the method and the address, which is named here already
	}
	var timeout net.Error
	var verification *tls.CertificateVerificationError
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS:
		return fault.New(fault.Oracle, "%s cannot be asked: the host %q is not found (%w); mend the option url", r, dns.Name, err)
	case errors.As(err, &verification):
		return fault.New(fault.Oracle, "%s cannot be asked: its certificate is not trusted (%w); name its authority with the option ca-file", r, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fault.New(fault.Oracle, "%s did not answer within the timeout of %s; raise the option timeout or lower max-batch", r, r.timeout)
	}
	return fault.New(fault.Oracle, "%s cannot be asked: %w; is the server running?", r, err)
}

// refused says what the server said instead of an answer.
func (r *rest) refused(status int, body []byte) error {
	remedy := ""
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		remedy = r.security.remedy()
	case http.StatusNotFound:
		remedy = "; check the options url, model and version"
	case http.StatusRequestEntityTooLarge:
		remedy = "; even one row is too large for it"
	}
	err := fault.New(fault.Oracle, "%s answers with status %d (%s)%s%s", r, status, http.StatusText(status), r.quote(errorText(body)), remedy)
	switch status {
	case http.StatusRequestEntityTooLarge:
		return tooLargeError{err}
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return refusedError{err, status == http.StatusInternalServerError}
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return noMetadataError{err}
	}
	return err
}

func redirected(response *http.Response) string {
	location, err := response.Location()
	if err != nil {
		return "nowhere"
	}
	return location.Redacted()
}

// encode writes the request. Every number has the digits that make it come out the same, in its data type.
func encode(t *tensors, x *mat.Dense, shape []int) ([]byte, error) {
	rows, columns := x.Dims()
	var b bytes.Buffer
	b.Grow(64 + 20*rows*columns)
	b.WriteString(`{"inputs":[`)
	from := 0
	for k, p := range t.inputs {
		values, dimensions := p.of(x, from, shape)
		_, width := values.Dims()
		if k > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":%s,"shape":%s,"datatype":"%s","data":[`, quoteJSON(p.name), strings.ReplaceAll(fmt.Sprint(dimensions), " ", ","), p.datatype)
		bits := 64
		if p.datatype == core.FP32 {
			bits = 32
		}
		for i := range rows {
			for j, v := range values.RawRowView(i) {
				if i+j > 0 {
					b.WriteByte(',')
				}
				if bits == 32 {
					v = float64(float32(v))
				}
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return nil, fmt.Errorf("entry %d of row %d is not a finite %s", from+j, i, p.datatype)
				}
				b.Write(strconv.AppendFloat(b.AvailableBuffer(), v, 'g', -1, bits))
			}
		}
		b.WriteString("]}")
		from += width
	}
	b.WriteByte(']')
	for k, name := range t.outputs {
		if k == 0 {
			b.WriteString(`,"outputs":[`)
		} else {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":%s}`, quoteJSON(name))
	}
	if len(t.outputs) > 0 {
		b.WriteByte(']')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// of returns the part's columns of the rows, which begin at from, and their shape; shape is that of all columns: of one dimension where a row is sent
// without one for the batch.
func (p part) of(x *mat.Dense, from int, shape []int) (*mat.Dense, []int) {
	rows, columns := x.Dims()
	width := p.width
	if width == 0 {
		width = columns
	}
	dimensions := []int{rows, width}
	if len(shape) == 1 {
		dimensions = dimensions[1:]
	}
	return x.Slice(0, rows, from, from+width).(*mat.Dense), dimensions
}
