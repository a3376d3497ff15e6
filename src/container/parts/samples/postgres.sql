--
-- PostgreSQL database dump
--

\restrict 47S3O1Fza1qa6l9P3OiskVCwHTUk85cRCx23697mjAGxXtFjkpw3Odjg4iMwhSK

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: Odd Schema; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "Odd Schema";


ALTER SCHEMA "Odd Schema" OWNER TO postgres;

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f() RETURNS integer
    LANGUAGE sql
    AS $$ select 1; $$;


ALTER FUNCTION public.f() OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: strange "table"; Type: TABLE; Schema: Odd Schema; Owner: postgres
--

CREATE TABLE "Odd Schema"."strange ""table""" (
    id integer NOT NULL,
    body text
);


ALTER TABLE "Odd Schema"."strange ""table""" OWNER TO postgres;

--
-- Name: strange "table"_id_seq; Type: SEQUENCE; Schema: Odd Schema; Owner: postgres
--

CREATE SEQUENCE "Odd Schema"."strange ""table""_id_seq"
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE "Odd Schema"."strange ""table""_id_seq" OWNER TO postgres;

--
-- Name: strange "table"_id_seq; Type: SEQUENCE OWNED BY; Schema: Odd Schema; Owner: postgres
--

ALTER SEQUENCE "Odd Schema"."strange ""table""_id_seq" OWNED BY "Odd Schema"."strange ""table""".id;


--
-- Name: empty; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.empty (
    a integer
);


ALTER TABLE public.empty OWNER TO postgres;

--
-- Name: item; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.item (
    id integer NOT NULL,
    name text,
    price numeric
);


ALTER TABLE public.item OWNER TO postgres;

--
-- Name: v; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.v AS
 SELECT item.id,
    item.name,
    item.price
   FROM public.item;


ALTER TABLE public.v OWNER TO postgres;

--
-- Name: strange "table" id; Type: DEFAULT; Schema: Odd Schema; Owner: postgres
--

ALTER TABLE ONLY "Odd Schema"."strange ""table""" ALTER COLUMN id SET DEFAULT nextval('"Odd Schema"."strange ""table""_id_seq"'::regclass);


--
-- Name: 16408; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16408');


ALTER LARGE OBJECT 16408 OWNER TO postgres;

--
-- Name: 16409; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16409');


ALTER LARGE OBJECT 16409 OWNER TO postgres;

--
-- Data for Name: strange "table"; Type: TABLE DATA; Schema: Odd Schema; Owner: postgres
--

COPY "Odd Schema"."strange ""table""" (id, body) FROM stdin;
1	line\\n\\.\n.
2	line\\nline\\n\\.\n.
3	line\\nline\\nline\\n\\.\n.
4	line\\nline\\nline\\nline\\n\\.\n.
5	line\\nline\\nline\\nline\\nline\\n\\.\n.
6	line\\nline\\nline\\nline\\nline\\nline\\n\\.\n.
7	line\\nline\\nline\\nline\\nline\\nline\\nline\\n\\.\n.
8	line\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\n\\.\n.
9	line\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\n\\.\n.
10	line\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\n\\.\n.
11	line\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\n\\.\n.
12	line\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\nline\\n\\.\n.
\.


--
-- Data for Name: empty; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.empty (a) FROM stdin;
\.


--
-- Data for Name: item; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.item (id, name, price) FROM stdin;
1	name 1	1.5
2	name 2	3.0
3	name 3	4.5
4	name 4	6.0
5	name 5	7.5
6	name 6	9.0
7	name 7	10.5
8	name 8	12.0
9	name 9	13.5
10	name 10	15.0
11	name 11	16.5
12	name 12	18.0
13	name 13	19.5
14	name 14	21.0
15	name 15	22.5
16	name 16	24.0
17	name 17	25.5
18	name 18	27.0
19	name 19	28.5
20	name 20	30.0
21	name 21	31.5
22	name 22	33.0
23	name 23	34.5
24	name 24	36.0
25	name 25	37.5
26	name 26	39.0
27	name 27	40.5
28	name 28	42.0
29	name 29	43.5
30	name 30	45.0
31	name 31	46.5
32	name 32	48.0
33	name 33	49.5
34	name 34	51.0
35	name 35	52.5
36	name 36	54.0
37	name 37	55.5
38	name 38	57.0
39	name 39	58.5
40	name 40	60.0
41	name 41	61.5
42	name 42	63.0
43	name 43	64.5
44	name 44	66.0
45	name 45	67.5
46	name 46	69.0
47	name 47	70.5
48	name 48	72.0
49	name 49	73.5
50	name 50	75.0
51	name 51	76.5
52	name 52	78.0
53	name 53	79.5
54	name 54	81.0
55	name 55	82.5
56	name 56	84.0
57	name 57	85.5
58	name 58	87.0
59	name 59	88.5
60	name 60	90.0
\.


--
-- Name: strange "table"_id_seq; Type: SEQUENCE SET; Schema: Odd Schema; Owner: postgres
--

SELECT pg_catalog.setval('"Odd Schema"."strange ""table""_id_seq"', 12, true);


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('16408', 131072);
SELECT pg_catalog.lowrite(0, '\x6c61726765206f626a656374206f6e65');
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('16409', 131072);
SELECT pg_catalog.lowrite(0, '\x78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: item item_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.item
    ADD CONSTRAINT item_pkey PRIMARY KEY (id);


--
-- PostgreSQL database dump complete
--

\unrestrict 47S3O1Fza1qa6l9P3OiskVCwHTUk85cRCx23697mjAGxXtFjkpw3Odjg4iMwhSK

