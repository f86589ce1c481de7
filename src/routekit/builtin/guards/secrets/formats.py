"""The formats of keys and tokens, as their vendors describe them.

A row is: kind, beginnings, the characters of the rest, its least length. What is meant to be published (Stripe's
``pk_``, Mapbox' ``pk.``, ids of accounts) is not listed, because it is no secret.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_CLASSES = {
    "a": "[A-Za-z0-9]",
    "w": "[A-Za-z0-9_-]",
    "x": "[0-9a-fA-F]",
    "u": "[0-9A-Z]",
    "d": "[A-Za-z0-9_.-]",
    "b": "[A-Za-z0-9+/=_-]",
    "h": "[0-9a-fA-F-]",
    "n": "[A-Za-z0-9_.:/+=~-]",
}

_ROWS = """
OPENAI_KEY      sk-proj-,sk-svcacct-,sk-admin-,sk-None-     w 20
ANTHROPIC_KEY   sk-ant-                                     w 20
OPENROUTER_KEY  sk-or-                                      w 20
LANGFUSE_KEY    sk-lf-                                      h 20
API_KEY         sk-                                         w 20
GROQ_KEY        gsk_                                        a 20
XAI_KEY         xai-                                        a 20
PERPLEXITY_KEY  pplx-                                       a 32
REPLICATE_TOKEN r8_                                         a 30
CEREBRAS_KEY    csk-                                        a 30
NVIDIA_KEY      nvapi-                                      w 40
FIREWORKS_KEY   fw_                                         a 20
TOGETHER_KEY    tgp_v1_                                     w 30
TAVILY_KEY      tvly-                                       w 20
JINA_KEY        jina_                                       w 30
VOYAGE_KEY      pa-                                         w 40
FIRECRAWL_KEY   fc-                                         x 32
E2B_KEY         e2b_                                        x 32
RUNPOD_KEY      rpa_                                        a 30
MODAL_TOKEN     ak-,as-                                     a 22
PINECONE_KEY    pcsk_                                       w 30
LANGSMITH_KEY   lsv2_pt_,lsv2_sk_,ls__                      w 30
BAIDU_KEY       bce-v3/ALTAK-                               n 30
HUGGINGFACE_TOKEN hf_,api_org_                              a 30
GOOGLE_KEY      AIza                                        w 34
GOOGLE_KEY      AQ.                                         w 40
GOOGLE_OAUTH    GOCSPX-                                     w 20
GOOGLE_OAUTH    ya29.                                       d 30
GOOGLE_OAUTH    1//0                                        w 40
AWS_KEY_ID      AKIA,ASIA,ABIA,ACCA                         u 16
AWS_KEY         ABSK                                        b 60
ALIBABA_KEY     LTAI                                        a 16
TENCENT_KEY     AKID                                        a 30
YANDEX_KEY      AQVN,y0_,t1.                                d 35
IBM_KEY         ApiKey-                                     h 36
GITHUB_TOKEN    ghp_,gho_,ghu_,ghs_,ghr_                    w 36
GITHUB_TOKEN    github_pat_                                 w 22
GITLAB_TOKEN    glpat-,gldt-,glrt-,glcbt-,glptt-,glft-,glsoat-,gloas-,glagent-,glimt-,glffct- d 20
GITLAB_TOKEN    GR1348941                                   w 20
BITBUCKET_TOKEN ATBB                                        a 24
ATLASSIAN_TOKEN ATATT3,ATCTT3,ATOA                          b 40
SLACK_TOKEN     xoxb-,xoxp-,xoxa-,xoxs-,xoxr-,xoxo-,xoxe-,xoxe.xoxp-,xoxe.xoxb-,xoxc-,xoxd- n 10
SLACK_TOKEN     xapp-,xwfp-                                 w 20
STRIPE_KEY      sk_live_,sk_test_,rk_live_,rk_test_,sk_org_ a 10
STRIPE_SECRET   whsec_                                      b 24
NPM_TOKEN       npm_                                        a 30
PYPI_TOKEN      pypi-                                       w 50
RUBYGEMS_KEY    rubygems_                                   x 40
NUGET_KEY       oy2                                         a 43
CLOJARS_TOKEN   CLOJARS_                                    a 40
CRATES_TOKEN    cio                                         a 32
DOCKER_TOKEN    dckr_pat_,dckr_oat_                         w 20
SENDGRID_KEY    SG.                                         d 40
MAILGUN_KEY     key-                                        a 32
BREVO_KEY       xkeysib-,xsmtpsib-                          w 40
RESEND_KEY      re_                                         w 20
MANDRILL_KEY    md-                                         w 20
TWILIO_KEY      SK                                          x 32
SHOPIFY_TOKEN   shpat_,shpca_,shppa_,shpss_,shprt_          a 32
SQUARE_TOKEN    sq0atp-,sq0csp-,sq0idb-                     w 20
SQUARE_TOKEN    EAAAE,EAAAl                                 w 55
FACEBOOK_TOKEN  EAAC,EAAB,EAAG,EAAE,EAAM                    a 60
PAYPAL_TOKEN    A21AA                                       w 60
BRAINTREE_TOKEN access_token$production$,access_token$sandbox$ n 20
FLUTTERWAVE_KEY FLWSECK-,FLWSECK_TEST-                      w 12
RAZORPAY_KEY    rzp_live_,rzp_test_                         a 14
PLAID_TOKEN     access-sandbox-,access-development-,access-production- h 30
ADYEN_KEY       AQE                                         n 60
DIGITALOCEAN_TOKEN dop_v1_,doo_v1_,dor_v1_                  x 40
HEROKU_KEY      HRKU-                                       w 30
LINEAR_KEY      lin_api_,lin_oauth_                         a 32
NOTION_TOKEN    secret_                                     a 43
NOTION_TOKEN    ntn_                                        a 40
FIGMA_TOKEN     figd_,figdr_,figo_,figu_                    w 35
ASANA_TOKEN     0/,1/,2/                                    n 32
DATABRICKS_TOKEN dapi,dkea,doseA                            h 32
DATADOG_KEY     ddapp_,ddapi_,ddpub_                        a 30
NEWRELIC_KEY    NRAK-,NRAL-,NRII-,NRRA-                     w 24
GRAFANA_TOKEN   glsa_,glc_                                  b 32
GRAFANA_KEY     eyJrIjoi                                    b 40
SENTRY_TOKEN    sntrys_,sntryu_,sntrya_                     b 40
VAULT_TOKEN     hvs.,hvb.,hvr.                              w 24
PULUMI_TOKEN    pul-                                        x 40
TAILSCALE_KEY   tskey-                                      w 20
CLOUDFLARE_KEY  v1.0-                                       w 40
CLOUDFLARE_TOKEN cfut_,cfat_,cfk_                           w 30
PLANETSCALE_TOKEN pscale_tkn_,pscale_pw_,pscale_oauth_      d 30
SUPABASE_KEY    sbp_                                        x 40
SUPABASE_KEY    sb_secret_                                  w 20
NEON_KEY        napi_                                       a 40
FLY_TOKEN       fm1_,fm2_,fo1_                              n 40
VERCEL_TOKEN    vcp_,vci_,vca_,vcr_,vck_,vercel_blob_rw_    w 24
NETLIFY_TOKEN   nfp_,nfc_,nfo_,nfu_,nfb_                    a 36
RENDER_KEY      rnd_                                        a 28
DENO_TOKEN      ddp_,ddw_                                   a 36
DOPPLER_TOKEN   dp.pt.,dp.st.,dp.ct.,dp.sa.,dp.scim.,dp.audit. d 40
POSTMAN_KEY     PMAK-                                       h 40
HUBSPOT_TOKEN   pat-na1-,pat-eu1-,pat-na2-                  h 32
AIRTABLE_TOKEN  pat                                         d 75
CONTENTFUL_TOKEN CFPAT-                                     w 40
DYNATRACE_TOKEN dt0c01.,dt0s01.,dt0s02.                     d 60
SONAR_TOKEN     squ_,sqp_,sqa_                              x 40
ARTIFACTORY_KEY AKCp                                        a 60
ARTIFACTORY_TOKEN cmVmdGtu                                  a 56
ONEPASSWORD_TOKEN ops_ey                                    b 100
AGE_KEY         AGE-SECRET-KEY-1                            u 50
BUILDKITE_TOKEN bkua_,bkpat_                                a 36
CIRCLECI_TOKEN  CCIPAT_,CCIPRJ_                             w 40
SOURCEGRAPH_TOKEN sgp_,slk_                                 w 40
OPENSHIFT_TOKEN sha256~                                     w 40
INFRACOST_KEY   ico-                                        a 30
PREFECT_KEY     pnu_,pnb_                                   a 34
SCALINGO_TOKEN  tk-us-                                      w 44
README_KEY      rdme_                                       a 60
TYPEFORM_TOKEN  tfp_                                        d 40
FRAMEIO_TOKEN   fio-u-                                      w 50
EASYPOST_KEY    EZAK,EZTK                                   a 50
DUFFEL_TOKEN    duffel_live_,duffel_test_                   w 40
SHIPPO_TOKEN    shippo_live_,shippo_test_                   x 40
LAUNCHDARKLY_KEY sdk-,api-,mob-                             h 36
OCTOPUS_KEY     API-                                        u 24
ADOBE_SECRET    p8e-,p8-                                    w 30
DROPBOX_TOKEN   sl.                                         w 60
TERRAFORM_TOKEN at-                                         w 60
AZURE_DEVOPS_TOKEN AzDo                                     w 60
SETTLEMINT_TOKEN sm_pat_,sm_sat_,sm_aat_                    a 16
DEFINED_KEY     dnkey-                                      w 50
PERSONA_KEY     persona_production_,persona_sandbox_        h 30
LOB_KEY         live_pub_,test_pub_                         x 31
WEBFLOW_TOKEN   ws-                                         x 60
MAXMIND_KEY     mmk_                                        a 30
CLICKUP_TOKEN   pk_CLICKUP_                                 w 30
COMPOSIO_KEY    ak_                                         w 20
BROWSERBASE_KEY bb_live_                                    w 24
HELICONE_KEY    pk-helicone-,sk-helicone-                   w 24
ELEVENLABS_KEY  sk_                                         x 40
MAPBOX_TOKEN    sk.eyJ                                      d 60
SLACK_WEBHOOK   hooks.slack.com/services/,hooks.slack.com/workflows/ n 30
DISCORD_WEBHOOK discord.com/api/webhooks/,discordapp.com/api/webhooks/ n 60
ZAPIER_WEBHOOK  hooks.zapier.com/hooks/catch/               n 12
TWITTER_TOKEN   AAAAAAAAAAAAAAAAAAAAA                       n 40
"""


class Format(NamedTuple):
    kind: str
    rest: re.Pattern[str]


def _formats() -> dict[str, Format]:
    found: dict[str, Format] = {}
    for row in _ROWS.strip().splitlines():
        kind, beginnings, letters, least = row.split()
        rest = re.compile(f"{_CLASSES[letters]}{{{least},400}}+")
        for beginning in beginnings.split(","):
            found[beginning] = Format(kind, rest)
    return found


FORMATS = _formats()

LENGTHS = tuple(sorted({len(start) for start in FORMATS}, reverse=True))
FIRST_TWO = frozenset(start[:2] for start in FORMATS)

SHAPES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    (
        "JWT",
        "eyJ",
        re.compile(
            r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{5,}+"
        ),
    ),
    ("TELEGRAM_TOKEN", ":AA", re.compile(r"(?<![0-9])[0-9]{8,11}:AA[A-Za-z0-9_-]{32,34}(?![A-Za-z0-9_-])")),
    ("DISCORD_TOKEN", ".", re.compile(r"(?<![\w-])[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}")),
    ("MAILCHIMP_KEY", "-us", re.compile(r"(?<![0-9a-f])[0-9a-f]{32}-us[0-9]{1,2}(?![0-9A-Za-z])")),
    ("AZURE_SECRET", "Q~", re.compile(r"(?<![\w~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![\w~-])")),
    ("AZURE_KEY", "JQQJ9", re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{27}(?![A-Za-z0-9])")),
    ("TERRAFORM_TOKEN", ".atlasv1.", re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}+")),
    ("FAL_KEY", ":", re.compile(r"(?<![0-9a-f-])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}:[0-9a-f]{32}(?![0-9a-f])")),
    ("TWILIO_KEY", "AC", re.compile(r"(?<![A-Za-z0-9])AC[0-9a-f]{32}:[0-9a-f]{32}(?![0-9a-f])")),
    ("SAS_SIGNATURE", "sig=", re.compile(r"(?<=[?&]sig=)[A-Za-z0-9%+/]{40,}+(?:=|%3[Dd])*+")),
)
"""Formats without a beginning of their own: kind, a text that is in each, pattern. Looked for in long words only."""
