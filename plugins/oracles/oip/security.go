package oip

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

// Secrets come from the environment or from files: what is in an argument is in every listing of processes.
var securityOptions = []core.Option{
	{Name: "token-env", Usage: "name of the environment variable that holds a bearer token, if there is one; a name that does not begin with NNID_ needs --pass-env too", Default: "NNID_OIP_TOKEN"},
	{Name: "token-file", Usage: "file that holds the bearer token, instead of token-env"},
	{Name: "ca-file", Usage: "PEM file of the authorities to trust; the system's when empty"},
	{Name: "cert-file", Usage: "PEM file of this client's certificate, for servers that ask for one; needs key-file"},
	{Name: "key-file", Usage: "PEM file of the certificate's private key"},
}

// security is how client and server know each other.
type security struct {
	token  string
	source string // of the token, in words
	tls    *tls.Config
}

func newSecurity(options core.Options) (*security, error) {
	s := &security{tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	if name := options["token-env"]; name != "" {
		s.source = "the environment variable " + name
		s.token = strings.TrimSpace(os.Getenv(name))
	}
	if file := options["token-file"]; file != "" {
		content, err := readFile("token-file", file)
		if err != nil {
			return nil, err
		}
		s.source = "the file " + file
		if s.token = strings.TrimSpace(string(content)); s.token == "" {
			return nil, fault.New(fault.Usage, "the token-file %s is empty; it must hold a bearer token", file)
		}
	}
	if strings.ContainsFunc(s.token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, fault.New(fault.Usage, "the bearer token in %s has a space, a control character or one outside of ASCII: it is no token", s.source)
	}
	if file := options["ca-file"]; file != "" {
		content, err := readFile("ca-file", file)
		if err != nil {
			return nil, err
		}
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(content) {
			return nil, fault.New(fault.Usage, "the ca-file %s holds no certificate in PEM", file)
		}
	}
	certificate, key := options["cert-file"], options["key-file"]
	switch {
	case certificate == "" && key == "":
		return s, nil
	case certificate == "" || key == "":
		return nil, fault.New(fault.Usage, "the options cert-file and key-file belong together: give both")
	}
	certificateContent, err := readFile("cert-file", certificate)
	if err != nil {
		return nil, err
	}
	keyContent, err := readFile("key-file", key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificateContent, keyContent)
	if err != nil {
		return nil, fault.New(fault.Usage, "the cert-file %s and the key-file %s do not do: %w", certificate, key, err)
	}
	s.tls.Certificates = []tls.Certificate{pair}
	return s, nil
}

func readFile(option, path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err == nil {
		return content, nil
	}
	if cause := errors.Unwrap(err); cause != nil { // without the path, which is named here already
		err = cause
	}
	return nil, fault.New(fault.Usage, "the %s %s cannot be read: %w", option, path, err)
}

// remedy says what to do about a server that lets nobody in, as the end of a sentence.
func (s *security) remedy() string {
	switch {
	case s.source == "":
		return "; name an environment variable with a bearer token in the option token-env, or a file in token-file"
	case s.token == "":
		return fmt.Sprintf("; set %s to a bearer token that may use the model, or name a file with one in the option token-file", s.source)
	}
	return fmt.Sprintf("; the bearer token in %s does not do", s.source)
}
