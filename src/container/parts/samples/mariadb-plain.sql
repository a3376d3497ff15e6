/*M!999999\- enable the sandbox mode */ 

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;
DROP TABLE IF EXISTS `empty`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `empty` (
  `a` int(11) DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

LOCK TABLES `empty` WRITE;
/*!40000 ALTER TABLE `empty` DISABLE KEYS */;
/*!40000 ALTER TABLE `empty` ENABLE KEYS */;
UNLOCK TABLES;
DROP TABLE IF EXISTS `item`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `item` (
  `id` int(11) NOT NULL,
  `name` varchar(50) DEFAULT NULL,
  `price` decimal(8,2) DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

LOCK TABLES `item` WRITE;
/*!40000 ALTER TABLE `item` DISABLE KEYS */;
INSERT INTO `item` VALUES (1,'name 1',1.50);
INSERT INTO `item` VALUES (2,'name 2',3.00);
INSERT INTO `item` VALUES (3,'name 3',4.50);
INSERT INTO `item` VALUES (4,'name 4',6.00);
INSERT INTO `item` VALUES (5,'name 5',7.50);
INSERT INTO `item` VALUES (6,'name 6',9.00);
INSERT INTO `item` VALUES (7,'name 7',10.50);
INSERT INTO `item` VALUES (8,'name 8',12.00);
INSERT INTO `item` VALUES (9,'name 9',13.50);
INSERT INTO `item` VALUES (10,'name 10',15.00);
INSERT INTO `item` VALUES (11,'name 11',16.50);
INSERT INTO `item` VALUES (12,'name 12',18.00);
INSERT INTO `item` VALUES (13,'name 13',19.50);
INSERT INTO `item` VALUES (14,'name 14',21.00);
INSERT INTO `item` VALUES (15,'name 15',22.50);
INSERT INTO `item` VALUES (16,'name 16',24.00);
INSERT INTO `item` VALUES (17,'name 17',25.50);
INSERT INTO `item` VALUES (18,'name 18',27.00);
INSERT INTO `item` VALUES (19,'name 19',28.50);
INSERT INTO `item` VALUES (20,'name 20',30.00);
INSERT INTO `item` VALUES (21,'name 21',31.50);
INSERT INTO `item` VALUES (22,'name 22',33.00);
INSERT INTO `item` VALUES (23,'name 23',34.50);
INSERT INTO `item` VALUES (24,'name 24',36.00);
INSERT INTO `item` VALUES (25,'name 25',37.50);
INSERT INTO `item` VALUES (26,'name 26',39.00);
INSERT INTO `item` VALUES (27,'name 27',40.50);
INSERT INTO `item` VALUES (28,'name 28',42.00);
INSERT INTO `item` VALUES (29,'name 29',43.50);
INSERT INTO `item` VALUES (30,'name 30',45.00);
INSERT INTO `item` VALUES (31,'name 31',46.50);
INSERT INTO `item` VALUES (32,'name 32',48.00);
INSERT INTO `item` VALUES (33,'name 33',49.50);
INSERT INTO `item` VALUES (34,'name 34',51.00);
INSERT INTO `item` VALUES (35,'name 35',52.50);
INSERT INTO `item` VALUES (36,'name 36',54.00);
INSERT INTO `item` VALUES (37,'name 37',55.50);
INSERT INTO `item` VALUES (38,'name 38',57.00);
INSERT INTO `item` VALUES (39,'name 39',58.50);
INSERT INTO `item` VALUES (40,'name 40',60.00);
INSERT INTO `item` VALUES (41,'name 41',61.50);
INSERT INTO `item` VALUES (42,'name 42',63.00);
INSERT INTO `item` VALUES (43,'name 43',64.50);
INSERT INTO `item` VALUES (44,'name 44',66.00);
INSERT INTO `item` VALUES (45,'name 45',67.50);
INSERT INTO `item` VALUES (46,'name 46',69.00);
INSERT INTO `item` VALUES (47,'name 47',70.50);
INSERT INTO `item` VALUES (48,'name 48',72.00);
INSERT INTO `item` VALUES (49,'name 49',73.50);
INSERT INTO `item` VALUES (50,'name 50',75.00);
INSERT INTO `item` VALUES (51,'name 51',76.50);
INSERT INTO `item` VALUES (52,'name 52',78.00);
INSERT INTO `item` VALUES (53,'name 53',79.50);
INSERT INTO `item` VALUES (54,'name 54',81.00);
INSERT INTO `item` VALUES (55,'name 55',82.50);
INSERT INTO `item` VALUES (56,'name 56',84.00);
INSERT INTO `item` VALUES (57,'name 57',85.50);
INSERT INTO `item` VALUES (58,'name 58',87.00);
INSERT INTO `item` VALUES (59,'name 59',88.50);
INSERT INTO `item` VALUES (60,'name 60',90.00);
/*!40000 ALTER TABLE `item` ENABLE KEYS */;
UNLOCK TABLES;
DROP TABLE IF EXISTS `odd ``table`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `odd ``table` (
  `id` int(11) DEFAULT NULL,
  `body` text DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
/*!40101 SET character_set_client = @saved_cs_client */;

LOCK TABLES `odd ``table` WRITE;
/*!40000 ALTER TABLE `odd ``table` DISABLE KEYS */;
INSERT INTO `odd ``table` VALUES (1,'a\nb');
INSERT INTO `odd ``table` VALUES (2,'; INSERT INTO `item` VALUES (1);');
/*!40000 ALTER TABLE `odd ``table` ENABLE KEYS */;
UNLOCK TABLES;
DROP TABLE IF EXISTS `v`;
/*!50001 DROP VIEW IF EXISTS `v`*/;
SET @saved_cs_client     = @@character_set_client;
SET character_set_client = utf8mb4;
/*!50001 CREATE VIEW `v` AS SELECT
 NULL AS `id` */;
SET character_set_client = @saved_cs_client;
/*!50001 DROP VIEW IF EXISTS `v`*/;
/*!50001 SET @saved_cs_client          = @@character_set_client */;
/*!50001 SET @saved_cs_results         = @@character_set_results */;
/*!50001 SET @saved_col_connection     = @@collation_connection */;
/*!50001 SET character_set_client      = utf8mb3 */;
/*!50001 SET character_set_results     = utf8mb3 */;
/*!50001 SET collation_connection      = utf8mb3_general_ci */;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select `item`.`id` AS `id` from `item` */;
/*!50001 SET character_set_client      = @saved_cs_client */;
/*!50001 SET character_set_results     = @saved_cs_results */;
/*!50001 SET collation_connection      = @saved_col_connection */;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;

/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

